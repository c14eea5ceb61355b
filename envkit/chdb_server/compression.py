"""Content codings of requests and responses.

gzip and deflate come with Python. For the others a module is used if there is one; a request body
can also be unpacked by the engine, which knows them all.
"""

from __future__ import annotations

import importlib
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Protocol

    class Encoder(Protocol):
        """What packs a response."""

        def compress(self, data: bytes, /) -> bytes: ...
        def flush(self) -> bytes: ...


# The engine knows these under the name they have in Content-Encoding.
BY_ENGINE = frozenset({"br", "lz4", "xz", "zstd"})


def _module(*names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


class _Lz4:
    def __init__(self, module: Any) -> None:
        self._frame = module.LZ4FrameCompressor()
        self._head: bytes = self._frame.begin()

    def compress(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        packed: bytes = self._frame.compress(data)
        return head + packed

    def flush(self) -> bytes:
        packed: bytes = self._head + self._frame.flush()
        return packed


def encoder_for(accepted: str, level: int) -> tuple[str, Encoder | None]:
    """The coding and its encoder for an Accept-Encoding header; ("", None) to send plain.

    Of what the client accepts, the first in clickhouse-server's order of preference is taken.
    """
    wanted = set()
    for item in accepted.lower().split(","):
        name, _, weight = item.strip().partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            wanted.add(name.strip())
    if "lz4" in wanted and (lz4 := _module("lz4.frame")) is not None:
        return "lz4", _Lz4(lz4)
    if "gzip" in wanted:
        return "gzip", zlib.compressobj(level, zlib.DEFLATED, 31)
    if "deflate" in wanted:
        return "deflate", zlib.compressobj(level, zlib.DEFLATED, 15)
    if "zstd" in wanted and (zstd := _module("compression.zstd", "backports.zstd")) is not None:
        encoder: Encoder = zstd.ZstdCompressor()
        return "zstd", encoder
    return "", None


def decode(coding: str, chunks: Iterator[bytes]) -> Iterator[bytes] | None:
    """Unpack ``chunks``, or None if no module for ``coding`` is here.

    Raises ValueError while iterating if the data are not what ``coding`` says.
    """
    if coding == "gzip":
        return _members(lambda: zlib.decompressobj(31), chunks)
    if coding == "deflate":
        return _members(lambda: zlib.decompressobj(15), chunks)
    if coding == "lz4" and (lz4 := _module("lz4.frame")) is not None:
        return _members(lz4.LZ4FrameDecompressor, chunks)
    if coding == "zstd" and (zstd := _module("compression.zstd", "backports.zstd")) is not None:
        return _members(zstd.ZstdDecompressor, chunks)
    return None


def _members(new: Any, chunks: Iterator[bytes]) -> Iterator[bytes]:
    # A body may be several packed streams end to end: clickhouse-connect sends one per block.
    decoder = None
    for chunk in chunks:
        data = chunk
        while data:
            decoder = decoder or new()
            try:
                plain = decoder.decompress(data)
            except Exception as error:
                raise ValueError(str(error)) from None
            if plain:
                yield plain
            data = decoder.unused_data if decoder.eof else b""
            if decoder.eof:
                decoder = None
    if decoder is not None:
        raise ValueError("the data end in the middle")

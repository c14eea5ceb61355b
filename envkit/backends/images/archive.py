"""An image in the form that ``docker load`` takes, streamed.

https://github.com/moby/docker-image-spec: layers, one JSON file per image, and ``manifest.json``.
Unlike a build or an import it carries no time, so the same content gives the same image id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from envkit.backends.images.rootfs import Rootfs, padding, tar_header
from envkit.engine.client import architecture
from envkit.errors import ImageFailed

__all__ = ["digest", "image_config", "stream"]

_BEGINNING = "1970-01-01T00:00:00Z"


def digest(chunks: Iterable[bytes]) -> str:
    """SHA-256 of a layer, as images name it."""
    summed = hashlib.sha256()
    for chunk in chunks:
        summed.update(chunk)
    return f"sha256:{summed.hexdigest()}"


def image_config(run: Mapping[str, Any], layer: str) -> bytes:
    """The JSON file of an image with one layer; ``run`` says how containers run."""
    return _json(
        {
            "architecture": architecture(),
            "os": "linux",
            "created": _BEGINNING,
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [layer]},
            "history": [{"created": _BEGINNING, "created_by": "envkit images build"}],
        }
    )


def stream(rootfs: Rootfs, layer: str, config: bytes, references: list[str]) -> Iterator[bytes]:
    """The archive.

    Raises:
        ImageFailed: The files are no longer those that ``layer`` is the digest of.
    """
    size = rootfs.size()
    summed = hashlib.sha256()
    yield tar_header("layer.tar", size=size)
    for chunk in rootfs.stream():
        summed.update(chunk)
        yield chunk
    yield padding(size)
    if f"sha256:{summed.hexdigest()}" != layer:
        raise ImageFailed(
            "files changed while the image was put together", hint="envkit images build"
        )
    manifest = [{"Config": "config.json", "RepoTags": references, "Layers": ["layer.tar"]}]
    for name, data in (("config.json", config), ("manifest.json", _json(manifest))):
        yield tar_header(name, size=len(data)) + data + padding(len(data))
    yield bytes(1024)


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

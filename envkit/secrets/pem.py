"""What a PEM text holds, as far as it decides whether an algorithm can use it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

__all__ = ["Key", "NotPem", "read_pem"]

Family = Literal["RSA", "EC", "EdDSA", ""]

_BLOCK: Final = re.compile(
    r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----(?P<body>.*?)-----END (?P=label)-----", re.S
)
# https://www.rfc-editor.org/rfc/rfc3279#section-2.3, https://www.rfc-editor.org/rfc/rfc8410
_OIDS: Final[dict[bytes, Family]] = {
    bytes.fromhex("2a864886f70d010101"): "RSA",
    bytes.fromhex("2a864886f70d01010a"): "RSA",  # RSASSA-PSS
    bytes.fromhex("2a8648ce3d0201"): "EC",
    bytes.fromhex("2b6570"): "EdDSA",
    bytes.fromhex("2b6571"): "EdDSA",
}
_SEQUENCE, _INTEGER, _BITS, _OCTETS, _OID = 0x30, 0x02, 0x03, 0x04, 0x06


class NotPem(Exception):
    """The text is no PEM; the message says what is wrong with it, without any of it."""


class Key(Struct, frozen=True, kw_only=True):
    """The first block of a PEM text.

    Attributes:
        label: "PRIVATE KEY", "CERTIFICATE" and so on.
        family: Empty where it cannot be seen (certificates, encrypted keys).
        bits: Of an RSA key's modulus; 0 where it cannot be seen.
    """

    label: str
    family: Family = ""
    bits: int = 0


def read_pem(text: str) -> Key:
    """Look at the first block.

    Raises:
        NotPem: There is none, or it is not whole.
    """
    import base64
    import binascii

    found = _BLOCK.search(text)
    if found is None:
        if "-----BEGIN" not in text:
            raise NotPem("it has no line -----BEGIN …-----")
        raise NotPem("it has no line -----END …----- that fits its beginning")
    body = found["body"]
    if "\\n" in body:
        raise NotPem(r"its line breaks are written as \n, two characters each")
    if not body.startswith(("\n", "\r\n")):
        raise NotPem("its line breaks are missing")
    # A traditional encrypted key has headers before the body (RFC 1421).
    headers, _, rest = body.rpartition("\n\n")
    encrypted = "Proc-Type" in headers
    try:
        raw = base64.b64decode("".join((rest if encrypted else body).split()), validate=True)
    except (binascii.Error, ValueError):
        raise NotPem("what is between its first and last line is not base64") from None
    if not raw:
        raise NotPem("there is nothing between its first and last line")
    if encrypted:
        return Key(label=found["label"])
    try:
        return _key(found["label"], raw)
    except (IndexError, ValueError):
        return Key(label=found["label"])  # a form that is not known here


def _key(label: str, raw: bytes) -> Key:
    if label == "EC PRIVATE KEY":
        return Key(label=label, family="EC")
    parts = list(_items(_only(raw, _SEQUENCE)))
    if label in ("RSA PRIVATE KEY", "RSA PUBLIC KEY"):
        return Key(label=label, family="RSA", bits=_modulus(parts, public="PUBLIC" in label))
    if label not in ("PRIVATE KEY", "PUBLIC KEY"):
        return Key(label=label)
    public = label == "PUBLIC KEY"
    algorithm = parts[0 if public else 1]
    oid = next(content for tag, content in _items(algorithm[1]) if tag == _OID)
    family: Family = _OIDS.get(oid, "")
    if family != "RSA":
        return Key(label=label, family=family)
    # Of a bit string the first byte says how many bits of the last are not used.
    inner = parts[1][1][1:] if public else parts[2][1]
    return Key(
        label=label, family="RSA", bits=_modulus(list(_items(_only(inner, _SEQUENCE))), public)
    )


def _modulus(integers: list[tuple[int, bytes]], public: bool) -> int:
    tag, content = integers[0 if public else 1]
    return int.from_bytes(content, "big").bit_length() if tag == _INTEGER else 0


def _only(raw: bytes, tag: int) -> bytes:
    found, content = next(_items(raw))
    if found != tag:
        raise ValueError("another structure")
    return content


def _items(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements of DER (X.690), one after the other: tag and content."""
    at = 0
    while at < len(raw):
        tag, length = raw[at], raw[at + 1]
        at += 2
        if length & 0x80:
            octets = length & 0x7F
            length = int.from_bytes(raw[at : at + octets], "big")
            at += octets
        if at + length > len(raw):
            raise ValueError("shorter than it says")
        yield tag, raw[at : at + length]
        at += length

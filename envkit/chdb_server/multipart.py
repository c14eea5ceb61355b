"""multipart/form-data, which carries external tables and long parameters (RFC 7578)."""

from __future__ import annotations

import re

from .failures import BAD_ARGUMENTS, Failure

_BOUNDARY = re.compile(r"boundary=(?:\"([^\"]{1,70})\"|([^\s;,\"]{1,70}))", re.IGNORECASE)
_NAME = re.compile(rb"[;\s]name=(?:\"([^\"]*)\"|([^\s;\"]+))", re.IGNORECASE)
_FILENAME = re.compile(rb"[;\s]filename\*?=", re.IGNORECASE)


class Form:
    """The parts of a form: ``fields`` are plain values, ``files`` have a file name."""

    def __init__(self) -> None:
        self.fields: list[tuple[str, bytes]] = []
        self.files: list[tuple[str, bytes]] = []


def parse(content_type: str, body: bytes) -> Form:
    """Take a whole form apart. Raises Failure 36 if it is not one."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise Failure(BAD_ARGUMENTS, "The multipart/form-data request names no boundary.")
    boundary = b"\r\n--" + (match.group(1) or match.group(2)).encode("utf-8", "surrogateescape")
    pieces = (b"\r\n" + body).split(boundary)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise Failure(BAD_ARGUMENTS, "The multipart/form-data request ends before its boundary.")
    form = Form()
    for piece in pieces[1:-1]:
        head, gap, data = piece.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not gap or name is None:
            raise Failure(BAD_ARGUMENTS, "A part of the multipart/form-data request has no name.")
        key = (name.group(1) or name.group(2) or b"").decode("utf-8", "surrogateescape")
        (form.files if _FILENAME.search(head) else form.fields).append((key, data))
    return form

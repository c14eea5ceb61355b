"""Reading what a run left: a log as people see it, or the JUnit XML of one."""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Final

from msgspec import structs

from envkit.doctor.model import Symptom
from envkit.doctor.symptoms import from_text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["read", "text_of"]

# Bytes. What began it is near the beginning, and what came of it near the end; a second reads 2 MB.
_HEAD: Final = 4 << 20
_TAIL: Final = 12 << 20
_CHUNK: Final = 1 << 20

_XML: Final = re.compile(r"\ufeff?\s*<(?:\?xml|testsuites?)\b")


def text_of(stream: BinaryIO) -> tuple[str, int]:
    """The text of a log, and how many bytes in the middle of a very long one were left out.

    Lines that are left out become empty ones, so that the others keep their numbers. UTF-16 is
    understood, which PowerShell writes: https://learn.microsoft.com/powershell/module/microsoft.powershell.core/about/about_character_encoding
    """
    head = stream.read(_HEAD)
    tail = bytearray()
    skipped = breaks = 0
    while chunk := stream.read(_CHUNK):
        tail += chunk
        more = (len(tail) - _TAIL) & ~1  # UTF-16 has two bytes a character
        if more >= _CHUNK:
            breaks += tail.count(b"\n", 0, more)
            skipped += more
            del tail[:more]
    utf16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
    encoding = utf16.get(head[:2], "utf-8")
    if not skipped:
        return (head + tail).decode(encoding, "replace").removeprefix("\ufeff"), 0
    parts = (head.decode(encoding, "replace"), "\n" * breaks, tail.decode(encoding, "replace"))
    return "".join(parts).removeprefix("\ufeff"), skipped


def read(text: str) -> list[Symptom]:
    """The symptoms in it.

    A JUnit file gives those of its failures and errors, each under the name of its test; one that
    is cut off or is no JUnit after all is read as a log.
    """
    if _XML.match(text):
        # Expat itself limits what entities may blow up to: https://libexpat.github.io/doc/
        from xml.etree import ElementTree

        try:
            root = ElementTree.fromstring(text.lstrip("\ufeff"))  # noqa: S314 - see above
        except ElementTree.ParseError:
            return from_text(html.unescape(text))
        return list(_of_tests(root))
    return from_text(text)


def _of_tests(root: Element) -> Iterator[Symptom]:
    block = 0
    for test in root.iter("testcase"):
        name = "::".join(filter(None, (test.get("classname"), test.get("name"))))
        for kind in ("failure", "error"):
            for one in test.findall(kind):
                block += 1
                said = "\n".join(filter(None, (one.get("message"), one.text)))
                for symptom in from_text(said):
                    yield structs.replace(symptom, where=name, block=block)

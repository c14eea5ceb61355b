"""Reading what a run left: a log as people see it, or the JUnit XML of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from msgspec import structs

from envkit.doctor.model import Symptom
from envkit.doctor.symptoms import from_text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["read"]

_XML: Final = re.compile(r"\ufeff?\s*<(?:\?xml|testsuites?)\b")


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
            return from_text(text)
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

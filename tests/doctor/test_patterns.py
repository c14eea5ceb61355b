"""The words without which a pattern cannot fit."""

from __future__ import annotations

import re

import pytest

from envkit.doctor.engine import all_rules
from envkit.doctor.patterns import Text, needles
from tests.doctor.test_rules import CASES


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("Connection Refused", {"connection refused"}),
        (r"code: (\d+), message", {", message"}),
        ("no such (file|directory)", {"no such "}),
        (r"(?:refused|timed out)\b", {"refused", "timed out"}),
        (r"(?:refused|\d+)", set()),
        ("(?:maybe)? certainly", {" certainly"}),
        ("(?:ab|certainly)", set()),
        (r"\d{4}", set()),
    ],
)
def test_words_that_a_pattern_needs(pattern: str, expected: set[str]) -> None:
    assert needles(pattern) == expected


def test_words_never_hide_a_match() -> None:
    texts = [one.text for case in CASES.values() for one in (*case.fires, *case.silent)]
    for rule in all_rules().values():
        for text in rule.texts:
            compiled = re.compile(text.pattern, re.IGNORECASE | re.MULTILINE)
            for said in texts:
                plain, fast = compiled.search(said), text.search(said, said.lower())
                assert (plain and plain.span()) == (fast and fast.span()), text.pattern


def test_most_patterns_need_some_word() -> None:
    every = [text for rule in all_rules().values() for text in rule.texts]
    without = [text.pattern for text in every if not needles(text.pattern)]
    assert len(without) < len(every) / 10, without


def test_case_does_not_matter() -> None:
    assert Text("Connection refused").search("CONNECTION REFUSED", "connection refused")

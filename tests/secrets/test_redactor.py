"""Known values are masked, however they are written."""

from __future__ import annotations

import base64
import html
import json
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envkit.redact import SHORTEST, Redactor, printable

AWKWARD = "pä\"ss%w'or\nd €\\x$ end/+&😀"
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n"

FORMS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "URL": urllib.parse.quote,
    "URL, all": lambda value: urllib.parse.quote(value, safe=""),
    "URL, some": lambda value: urllib.parse.quote(value, safe="\"'%€ä"),
    "URL, twice": lambda value: urllib.parse.quote(urllib.parse.quote(value)),
    "form": urllib.parse.quote_plus,
    "JSON": json.dumps,
    "JSON, not ASCII": lambda value: json.dumps(value, ensure_ascii=False),
    "JSON in JSON": lambda value: json.dumps(json.dumps(value)),
    "repr": repr,
    "repr of repr": lambda value: repr(repr(value)),
    "ascii": ascii,
    "bytes": lambda value: repr(value.encode()),
    "HTML": html.escape,
    "printable": printable,
    "backslashreplace": lambda value: value.encode("ascii", "backslashreplace").decode(),
    "hex": lambda value: value.encode().hex(),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "Basic": lambda value: base64.b64encode(b"me:" + value.encode()).decode(),
    "Basic, longer": lambda value: base64.b64encode(b"boss:" + value.encode()).decode(),
    "base64 for URLs": lambda value: base64.urlsafe_b64encode(b"a:" + value.encode()).decode(),
}
# Not those that are left out: too short, or known to everybody.
VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=SHORTEST, max_size=40).filter(
    lambda value: repr(Redactor([value])) == "<Redactor of 1 values>"
)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("value", [AWKWARD, PEM.strip(), "correct-horse-battery"])
def test_a_value_is_masked_in_every_form(form: Callable[[str], str], value: str) -> None:
    written = form(value)
    masked = Redactor([value])(f"before [{written}] after")
    assert "***" in masked
    left = masked.removeprefix("before [").removesuffix("] after")
    assert set(left) <= set("*b\"'\\")


@settings(deadline=None)
@given(VALUES, st.sampled_from(sorted(FORMS)), st.text(), st.text())
def test_no_text_keeps_a_form_of_a_value(value: str, form: str, before: str, after: str) -> None:
    value = value.strip()
    written = FORMS[form](value)
    masked = Redactor([value])(f"{before} {written} {after}")
    # What quotation marks are around it is no part of it.
    assert written.strip("b\"'\\") not in masked or written.strip("b\"'\\") == ""
    assert value not in masked


@settings(deadline=None)
@given(st.lists(VALUES, max_size=4), st.text())
def test_other_text_stays_as_it_is(values: list[str], text: str) -> None:
    # On one line, of which each is masked by itself.
    redactor = Redactor([f"no-such-text-{''.join(value.splitlines())}" for value in values])
    assert redactor(text) == text


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4), st.data())
def test_values_that_overlap_are_all_masked(values: list[str], data: st.DataObject) -> None:
    cuts = [value.strip()[data.draw(st.integers(0, 3)) :] for value in values]
    masked = Redactor(values)("".join([values[0], *cuts, *values]))
    assert not [value for value in values if value.strip() in masked]


@settings(deadline=None)
@given(VALUES, st.text())
def test_masking_twice_is_masking_once(value: str, text: str) -> None:
    redactor = Redactor([value])
    once = redactor(f"{text}{value}{text}")
    assert redactor(once) == once


@pytest.mark.parametrize("between", ["\n", "\r\n", "\n    ", "\n  | ", " ", "\\n", "\\r\\n", "%0A"])
def test_a_value_of_several_lines_is_masked_however_they_are_joined(between: str) -> None:
    value = "one two\nthree four\nfive"
    assert Redactor([value])(f"<{value.replace(chr(10), between)}>") == "<***>"


def test_each_line_of_a_value_is_masked_where_others_stand_between() -> None:
    text = "".join(f"12:00 LOG: {line}\n" for line in PEM.splitlines())
    assert Redactor([PEM])(text) == (
        "12:00 LOG: -----BEGIN KEY-----\n12:00 LOG: ***\n12:00 LOG: ***\n"
        "12:00 LOG: -----END KEY-----\n"
    )


def test_blanks_around_a_value_are_no_part_of_it() -> None:
    assert Redactor(["  correct-horse \n"])("<correct-horse>") == "<***>"


@pytest.mark.parametrize("value", ["short", "1234567", "postgres", "PASSWORD", "localhost"])
def test_short_values_and_those_that_everybody_knows_are_left(value: str) -> None:
    assert Redactor([value])(f"<{value}>") == f"<{value}>"


def test_a_redactor_does_not_show_what_it_knows() -> None:
    assert repr(Redactor(["correct-horse"])) == "<Redactor of 1 values>"


@pytest.mark.parametrize("char", ["\\", '"', "'", "%", "\n", " ", "é", "*"])
def test_a_long_run_of_one_character_takes_no_long_time(char: str) -> None:
    value = f"a{char * 40}b"
    text = f"a{char * 20_000}c"
    assert Redactor([value])(text) == text


def test_what_turns_the_direction_of_text_is_shown_and_does_nothing() -> None:
    assert printable("a\u202etxt.exe\u2028b") == "a\\u202etxt.exe\\u2028b"

"""Each slug has a case that fires and a near miss that stays silent, and says what it means."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from envkit.doctor.engine import all_rules
from envkit.doctor.model import Symptom
from envkit.doctor.symptoms import from_text
from envkit.doctor.triage import findings_of
from tests.doctor.case import Case

CASES: dict[str, Case] = {}
for path in sorted((Path(__file__).parent / "cases").glob("[a-z]*.py")):
    CASES |= import_module(f"tests.doctor.cases.{path.stem}").CASES


def slugs(case: Case, symptom: Symptom) -> list[str]:
    """Of all findings, consequences included; a log is read as the doctor reads it."""
    symptoms = from_text(symptom.text) if symptom.source == "log" else [symptom]
    found = findings_of(symptoms, case.facts)
    return [one.slug for root in found for one in (root, *root.consequences)]


@pytest.mark.parametrize("slug", sorted(all_rules() | CASES))
def test_every_slug_has_a_case_and_a_near_miss(slug: str) -> None:
    assert slug in all_rules(), "a case for a slug without a rule"
    assert CASES[slug].fires
    assert CASES[slug].silent


@pytest.mark.parametrize(
    ("slug", "number"), [(s, i) for s, case in CASES.items() for i in range(len(case.fires))]
)
def test_case_fires(slug: str, number: int) -> None:
    case = CASES[slug]
    assert slugs(case, case.fires[number])[:1] == [slug]


@pytest.mark.parametrize(
    ("slug", "number"), [(s, i) for s, case in CASES.items() for i in range(len(case.silent))]
)
def test_near_miss_stays_silent(slug: str, number: int) -> None:
    case = CASES[slug]
    assert slug not in slugs(case, case.silent[number])


@pytest.mark.parametrize("slug", sorted(all_rules()))
def test_every_rule_says_what_why_and_fix(slug: str) -> None:
    rule = all_rules()[slug]
    assert rule.what.endswith(".")
    documentation = rule.make.__doc__ or ""
    assert "\n\n    Why: " in documentation
    assert "\n\n    Fix: " in documentation
    assert rule.why
    assert rule.fix

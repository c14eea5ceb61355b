"""Many symptoms, few causes: findings in order, each with its consequences folded under it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import structs

from envkit.doctor.engine import diagnose, explained, rank, readers
from envkit.doctor.model import Check, CheckStatus, Facts, Finding, Report, ReportStatus, Symptom

__all__ = ["findings_of", "report_of"]

_SEVERITIES = ("error", "warning", "info")
_CONFIDENCES = ("certain", "likely", "guess")
#: Findings of one slug that differ in their titles: a long log may have thousands, and nobody reads
#: them. Each is compared with each.
_MOST_ALIKE: Final = 50
#: Sources of words that are errors, and no measurements.
_SERVERS: Final = ("postgres", "redis", "clickhouse", "docker", "socket")


def findings_of(symptoms: Iterable[Symptom], facts: Facts) -> tuple[Finding, ...]:
    """What the symptoms mean: the most probable root cause first, the same thing once."""
    return _ordered(_diagnosed(symptoms, facts))


def _diagnosed(symptoms: Iterable[Symptom], facts: Facts) -> list[tuple[Symptom, Finding]]:
    symptoms = list(symptoms)
    if not symptoms:
        return []  # and no rule is loaded
    among = readers(symptoms)
    return [
        (symptom, found)
        for symptom in symptoms
        if (found := diagnose(symptom, facts, among)) is not None
    ]


def _ordered(diagnosed: Iterable[tuple[Symptom, Finding]]) -> tuple[Finding, ...]:
    seen: dict[tuple[str, str | None, str], tuple[Finding, int]] = {}
    alike: Counter[tuple[str, str | None]] = Counter()
    told: dict[tuple[str, str | None], list[str]] = {}
    for symptom, found in diagnosed:
        key = (found.slug, found.service, found.title)
        if key in seen or alike[key[:2]] == _MOST_ALIKE:
            continue
        before = told.setdefault(key[:2], [])
        if any(symptom.text.partition("\n")[0] in text for text in before):
            continue  # a line of a message that was understood as a whole
        before.append(symptom.text)
        alike[key[:2]] += 1
        seen[key] = (found, symptom.block)
    return _folded(list(seen.values()))


def _folded(found: Sequence[tuple[Finding, int]]) -> tuple[Finding, ...]:
    parents: dict[int, int] = {}
    for index, (finding, block) in enumerate(found):
        for other, (cause, its_block) in enumerate(found):
            if other == index or _leads_to(parents, other, index):
                continue
            # In one traceback or failed test the innermost one that spoke is the cause; of those
            # who say the same, the one that says more of it, such as where.
            by_place = block == its_block != 0 and _before(cause, finding)
            if by_place or explained(cause, finding):
                parents[index] = other
                break
    folded: dict[int, list[int]] = {}
    for index, parent in parents.items():
        folded.setdefault(_root(parents, parent), []).append(index)
    roots = [i for i in range(len(found)) if i not in parents]
    whole = [
        structs.replace(
            found[root][0], consequences=tuple(found[i][0] for i in sorted(folded.get(root, [])))
        )
        for root in roots
    ]
    return tuple(sorted(whole, key=_order))


def _before(cause: Finding, finding: Finding) -> bool:
    if cause.slug == finding.slug:
        return len(cause.title) > len(finding.title)
    return rank(cause) < rank(finding)


def _leads_to(parents: dict[int, int], start: int, goal: int) -> bool:
    while start in parents:
        start = parents[start]
        if start == goal:
            return True
    return False


def _root(parents: dict[int, int], index: int) -> int:
    while index in parents:
        index = parents[index]
    return index


def _order(finding: Finding) -> tuple[int, int, int]:
    return (
        _SEVERITIES.index(finding.severity),
        -len(finding.consequences),
        _CONFIDENCES.index(finding.confidence),
    )


def report_of(
    checks: Sequence[Check],
    symptoms: Sequence[Symptom],
    facts: Facts,
    *,
    unexplained: bool = False,
) -> Report:
    """The report of a visit.

    Args:
        checks: As the probes saw them, before anybody has judged what they saw.
        symptoms: Of all of them.
        facts: For the rules.
        unexplained: Something failed, and no finding says why.
    """
    diagnosed = _diagnosed(symptoms, facts)
    findings = _ordered(diagnosed)
    worst: dict[str, CheckStatus] = {}
    for symptom, found in diagnosed:
        if found.severity == "info":
            continue
        if worst.get(symptom.check) != "fail":
            worst[symptom.check] = "fail" if found.severity == "error" else "warn"
    unknown = _unknown(symptoms, diagnosed)
    judged = tuple(_judged(check, worst, unknown) for check in checks)
    everything = [*findings, *(c for f in findings for c in f.consequences)]
    status: ReportStatus = "ok"
    if any(finding.severity == "error" for finding in everything):
        status = "problems"
    elif unexplained or any(check.status == "not-checked" for check in judged):
        status = "incomplete"
    return Report(status=status, checks=judged, findings=findings)


def _judged(
    check: Check, worst: Mapping[str, CheckStatus], unknown: Mapping[str, Symptom]
) -> Check:
    if check.status == "not-checked" and worst.get(check.name) == "fail":
        # Whoever saw an error has seen enough, even if it could not look at all it wanted.
        return structs.replace(check, status="fail")
    if check.status != "pass":
        return check
    if check.name in worst:
        return structs.replace(check, status=worst[check.name])
    if check.name in unknown:
        said = unknown[check.name].text.strip().partition("\n")[0]
        detail = ": ".join(part for part in (check.detail, said) if part)
        return structs.replace(check, status="not-checked", detail=detail)
    return check


def _unknown(
    symptoms: Iterable[Symptom], diagnosed: Iterable[tuple[Symptom, Finding]]
) -> dict[str, Symptom]:
    """For each check the first error that it was told and that no rule understands.

    A server that says what nobody knows is not healthy. What was measured is another matter: of
    that the rules say when it is too much.
    """
    understood = {id(symptom) for symptom, _ in diagnosed}
    found: dict[str, Symptom] = {}
    for symptom in symptoms:
        if symptom.check and symptom.source in _SERVERS and id(symptom) not in understood:
            found.setdefault(symptom.check, symptom)
    return found

"""Rules: how one is declared, and which of them speaks for a symptom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Final, get_args

from msgspec import Struct

from envkit.doctor.model import (
    Confidence,
    Facts,
    Finding,
    Fix,
    Layer,
    ServiceFacts,
    Severity,
    Source,
    Symptom,
)
from envkit.doctor.patterns import Text
from envkit.model import SERVICES, ServiceName

__all__ = ["Readers", "Rule", "Seen", "all_rules", "diagnose", "find", "readers", "rule"]

_RANK: Final[dict[Layer, int]] = {
    "server": 0,
    "driver": 1,
    "engine": 2,
    "tool": 3,
    "socket": 4,
    "host": 5,
}
_EVIDENCE_LINES: Final = 12


class Seen(Struct, frozen=True, kw_only=True):
    """A symptom as one rule sees it.

    Attributes:
        match: Of the first of the rule's texts that fits; None if only the code did.
    """

    symptom: Symptom
    match: re.Match[str] | None
    facts: Facts
    rule: Rule

    @property
    def service(self) -> ServiceName | None:
        """Which service this is about."""
        if self.symptom.service:
            return self.symptom.service
        return next((name for name in SERVICES if name in self.rule.sources), None)

    @property
    def target(self) -> ServiceFacts:
        """What is planned for that service."""
        return self.facts.of(self.service)

    def get(self, name: str, default: str = "") -> str:
        """A named group of the match, else a fact of the symptom."""
        found = self.match.groupdict().get(name) if self.match else None
        return found or self.symptom.data.get(name) or default

    def finding(
        self,
        *,
        title: str,
        cause: str,
        fix: str,
        command: str = "",
        severity: Severity | None = None,
        confidence: Confidence | None = None,
    ) -> Finding:
        """The finding of this rule.

        Args:
            title: What was observed, one line without a full stop.
            cause: Why, most probably: one or two sentences.
            fix: What to do, one sentence.
            command: To be typed as it is.
            severity: Instead of the rule's.
            confidence: Instead of the rule's.
        """
        return Finding(
            slug=self.rule.slug,
            severity=severity or self.rule.severity,
            service=self.service,
            title=title,
            evidence="\n".join(self.symptom.text.strip().splitlines()[:_EVIDENCE_LINES]),
            cause=cause,
            fix=Fix(text=fix, command=command),
            confidence=confidence or self.rule.confidence,
            source=self.symptom.where,
            check=self.symptom.check,
        )


Make = Callable[[Seen], "Finding | None"]


class Rule(Struct, frozen=True, kw_only=True):
    """One fault that the doctor knows.

    Attributes:
        sources: Whose codes ``codes`` are; texts are looked for whoever says them.
        texts: Patterns, searched without regard to case and over several lines.
        layer: Who speaks: of several rules that fit, the innermost wins.
        explains: Slugs, or beginnings of slugs with a dot at the end, that are consequences of
            this one where both are seen at the same service (or this one concerns none).
        explained_by: The same from the other side: whatever else is found may have led to this.
        area: Module that it is written in.
    """

    slug: str
    make: Make
    sources: tuple[Source, ...] = ()
    codes: tuple[str, ...] = ()
    texts: tuple[Text, ...] = ()
    severity: Severity = "error"
    confidence: Confidence = "certain"
    layer: Layer
    explains: tuple[str, ...] = ()
    explained_by: tuple[str, ...] = ()
    area: str = ""

    @property
    def what(self) -> str:
        """The first paragraph of the documentation."""
        return self._part(0)

    @property
    def why(self) -> str:
        return self._part(1).removeprefix("Why:").strip()

    @property
    def fix(self) -> str:
        return self._part(2).removeprefix("Fix:").strip()

    def _part(self, number: int) -> str:
        paragraphs = re.split(r"\n\s*\n", (self.make.__doc__ or "").strip())
        return " ".join(paragraphs[number].split()) if number < len(paragraphs) else ""


_rules: dict[str, Rule] = {}


def rule(
    slug: str,
    *,
    source: Source | tuple[Source, ...] = (),
    codes: Sequence[str] = (),
    texts: Sequence[str] = (),
    severity: Severity = "error",
    confidence: Confidence = "certain",
    layer: Layer,
    explains: Sequence[str] = (),
    explained_by: Sequence[str] = (),
) -> Callable[[Make], Make]:
    """Register a function as the rule for a slug.

    It is called for a symptom that has one of the codes (of one of the sources) or one of the
    texts, and returns the finding, or None if it is not one after all. Its docstring has three
    paragraphs: what is observed; ``Why:``; ``Fix:``. That is what ``envkit explain`` prints.

    A symptom of the sources ``envkit`` and ``secret``, whose code is the slug, needs no function:
    the error of ours or the verdict says all there is to say, and the rule gives its meaning.
    """

    def register(make: Make) -> Make:
        assert slug not in _rules, slug
        _rules[slug] = Rule(
            slug=slug,
            make=make,
            sources=(source,) if isinstance(source, str) else source,
            codes=tuple(codes),
            texts=tuple(Text(text) for text in texts),
            severity=severity,
            confidence=confidence,
            layer=layer,
            explains=tuple(explains),
            explained_by=tuple(explained_by),
            area=make.__module__.rpartition(".")[2],
        )
        return make

    return register


@cache
def all_rules() -> dict[str, Rule]:
    """Slug to rule, in the order of the areas."""
    package = import_module("envkit.doctor.rules")
    for module in sorted(iter_modules(package.__path__), key=lambda one: one.name):
        import_module(f"{package.__name__}.{module.name}")
    return _rules


def find(slug: str) -> Rule | None:
    return all_rules().get(slug)


#: Rules with those of their texts that can fit at all.
Readers = Sequence[tuple[Rule, tuple[Text, ...]]]


def readers(symptoms: Iterable[Symptom]) -> Readers:
    """The rules whose texts can fit any of these symptoms; of a long log that leaves a few."""
    everything = "\n".join(symptom.text for symptom in symptoms).lower()
    found: list[tuple[Rule, tuple[Text, ...]]] = []
    for one in all_rules().values():
        texts = tuple(text for text in one.texts if text.may_fit(everything))
        if texts:
            found.append((one, texts))
    return found


@cache
def _by_code() -> dict[tuple[Source, str], list[Rule]]:
    found: dict[tuple[Source, str], list[Rule]] = {}
    for one in all_rules().values():
        for source in one.sources:
            for code in one.codes:
                found.setdefault((source, code), []).append(one)
    return found


def diagnose(symptom: Symptom, facts: Facts, among: Readers | None = None) -> Finding | None:
    """What the symptom means, by the rule that knows best; None if none knows.

    Args:
        symptom: One of them.
        facts: For the rules.
        among: The `readers` of all symptoms, where there are many.
    """
    if symptom.source in ("envkit", "secret"):
        return _of_ours(symptom, all_rules().get(symptom.code))
    by_code = _by_code().get((symptom.source, symptom.code), []) if symptom.code else []
    matches: dict[str, tuple[Rule, re.Match[str] | None]] = {
        one.slug: (one, None) for one in by_code
    }
    lowered = symptom.text.lower()
    for one, texts in readers([symptom]) if among is None else among:
        for text in texts:
            if match := text.search(symptom.text, lowered):
                matches[one.slug] = (one, match)
                break
    candidates: list[tuple[bool, int, int, Finding]] = []
    for one, found in matches.values():
        finding = one.make(Seen(symptom=symptom, match=found, facts=facts, rule=one))
        if finding is not None:
            length = len(found[0]) if found else 0
            # Structured codes before text; who speaks from further in; who understood more of it.
            # An errno is only the socket's word: whoever names its owner beside it knows more.
            sure = one in by_code and symptom.source != "socket"
            candidates.append((not sure, _RANK[one.layer], -length, finding))
    return min(candidates, key=lambda one: one[:3])[3] if candidates else None


def rank(finding: Finding) -> int:
    """How far out the one stands who spoke."""
    known = find(finding.slug)
    return _RANK[known.layer] if known else max(_RANK.values())


def explained(cause: Finding, consequence: Finding) -> bool:
    """Whether one finding is a consequence of another, by what their rules say."""
    if cause.service and consequence.service and cause.service != consequence.service:
        return False
    if cause.slug == consequence.slug and cause.service is not None:
        return False  # seen as a whole it explains what one service sees of it, not the other way
    its, of_it = find(cause.slug), find(consequence.slug)
    return _among(consequence.slug, its.explains if its else ()) or _among(
        cause.slug, of_it.explained_by if of_it else ()
    )


def _among(slug: str, slugs: Iterable[str]) -> bool:
    return any(slug == one or (one.endswith(".") and slug.startswith(one)) for one in slugs)


def _of_ours(symptom: Symptom, known: Rule | None) -> Finding:
    told, _, evidence = symptom.text.partition("\n")
    return Finding(
        slug=symptom.code,
        severity=_severity(symptom.data.get("severity", ""))
        or (known.severity if known else "error"),
        service=symptom.service,
        title=told,
        evidence=evidence.strip(),
        cause=known.why if known else "",
        fix=Fix(
            text=symptom.data.get("hint") or (known.fix if known else ""),
            command=symptom.data.get("command", ""),
        ),
        confidence=known.confidence if known else "certain",
        source=symptom.where,
        check=symptom.check,
    )


def _severity(said: str) -> Severity | None:
    return next((one for one in get_args(Severity) if one == said), None)

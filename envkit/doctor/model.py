"""The values that travel through the doctor: frozen, slotted, keyword-only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from envkit.model import BackendName, ServiceName

__all__ = [
    "Check",
    "CheckStatus",
    "Confidence",
    "Facts",
    "Finding",
    "Fix",
    "Layer",
    "Report",
    "ReportStatus",
    "ServiceFacts",
    "Severity",
    "Source",
    "Symptom",
]

Severity = Literal["error", "warning", "info"]
Confidence = Literal["certain", "likely", "guess"]
CheckStatus = Literal["pass", "warn", "fail", "skipped", "not-checked"]
ReportStatus = Literal["ok", "problems", "incomplete"]
#: Whose words a symptom is: codes mean something only together with it.
Source = Literal[
    "postgres",  # SQLSTATE
    "redis",  # the error's first word: NOAUTH
    "clickhouse",  # number of the exception
    "docker",  # name of the condition, or none
    "socket",  # name of the errno: ECONNREFUSED; EAI_… of getaddrinfo; TIMEOUT
    "python",  # name of the exception's class
    "pytest",  # exit code
    "process",  # exit code of a program or server
    "host",  # what a probe measured
    "secret",  # slug of a verdict
    "envkit",  # slug of an error of ours
    "log",  # text of unknown origin
]
#: Who speaks, from the inside out: the innermost one that speaks knows best.
Layer = Literal["server", "driver", "engine", "tool", "socket", "host"]


class Symptom(Struct, frozen=True, kw_only=True):
    """One thing that was seen.

    Attributes:
        source: Whose words these are.
        code: In the source's own system; empty if there is none.
        text: As it was said, or as a probe puts what it measured.
        service: Which it is about, if that is known.
        where: Place: a probe, a line of a log, a test.
        check: Name of the check that saw it; empty for logs.
        block: Symptoms of one block (one traceback, one failed test) have one cause.
        data: Structured facts for the rule, such as ``{"database": "app"}``.
    """

    source: Source
    text: str
    code: str = ""
    service: ServiceName | None = None
    where: str = ""
    check: str = ""
    block: int = 0
    data: Mapping[str, str] = field(default_factory=dict)


class Fix(Struct, frozen=True, kw_only=True):
    """What to do.

    Attributes:
        text: In words, one sentence.
        command: To be typed as it is; empty where no single command can mend it.
    """

    text: str
    command: str = ""


class Finding(Struct, frozen=True, kw_only=True):
    """What is wrong, by one rule.

    Attributes:
        slug: Stable name of the fault; ``envkit explain SLUG`` says more.
        title: What was observed, one line.
        evidence: As it was said, verbatim but redacted.
        cause: Why, most probably.
        confidence: How sure the rule is; how bad it is stands in ``severity``.
        source: Where the evidence comes from: a probe, ``line 12``, a test.
        check: Name of the check that saw it first; empty for logs.
        consequences: What is explained by this one.
    """

    slug: str
    severity: Severity
    service: ServiceName | None = None
    title: str
    evidence: str = ""
    cause: str
    fix: Fix
    confidence: Confidence = "certain"
    source: str = ""
    check: str = ""
    consequences: tuple[Finding, ...] = ()


class Check(Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        group: Under which heading it is shown.
        ms: Milliseconds that it took.
        detail: What was seen, in few words: ``18.6, 127.0.0.1:5432``.
        started_ms: Milliseconds that a server of ours which is up took to start; else 0.
    """

    name: str
    group: str
    status: CheckStatus
    ms: float = 0.0
    detail: str = ""
    started_ms: float = 0.0


class ServiceFacts(Struct, frozen=True, kw_only=True):
    """What is planned for a service, for rules that have to name it.

    Attributes:
        origin: What named the endpoint: a variable, a file.
        made_by: What the tables of leases are made by: a command, or files.
    """

    backend: BackendName | None = None
    host: str = ""
    port: int = 0
    user: str = ""
    database: str = ""
    origin: str = ""
    made_by: str = ""


class Facts(Struct, frozen=True, kw_only=True):
    """What rules may want to know beside the symptom.

    Attributes:
        services: Those that are configured.
        ci: Whether this is a continuous integration job.
        secrets: Names of those that are declared.
    """

    services: Mapping[ServiceName, ServiceFacts] = field(default_factory=dict)
    ci: bool = False
    secrets: frozenset[str] = frozenset()

    def of(self, service: ServiceName | None) -> ServiceFacts:
        """About a service; empty if it is not configured."""
        return (self.services.get(service) if service else None) or ServiceFacts()


class Report(Struct, frozen=True, kw_only=True):
    """All that the doctor has to say.

    Attributes:
        version: Of this contract.
        status: ``problems`` if there is any error, else ``incomplete`` if not everything could be
            checked, else ``ok``; exit codes 1, 3 and 0.
        checks: What was looked at; empty for a log.
        findings: The most probable root cause first.
    """

    version: Literal[1] = 1
    status: ReportStatus
    checks: tuple[Check, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 if there is any error, else 3 if something was not checked, else 0."""
        return {"problems": 1, "incomplete": 3, "ok": 0}[self.status]

"""Reports for renderers: some as the doctor makes them, and any that it could make."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st
from msgspec import structs

from envkit.doctor.model import Check, CheckStatus, Finding, Fix, Report, ReportStatus, Severity
from envkit.doctor.render.words import every, worst
from envkit.model import SERVICES

__all__ = ["CANARY", "ENGINE_DOWN", "HEALTHY", "INCOMPLETE", "LOG", "UNEXPLAINED", "reports"]

CANARY: Final = "hunter2hunter2"

_CONFIGURATION: Final = Check(
    name="Configuration",
    group="Project",
    status="pass",
    ms=11.6,
    detail="pyproject.toml; services postgres, redis",
)
_REDIS: Final = Check(
    name="Redis", group="Services", status="pass", ms=23, detail="Valkey 9.1.0 at 127.0.0.1:6379"
)
_POSTGRES: Final = Check(
    name="Postgres", group="Services", status="pass", ms=31, detail="18.6 at 127.0.0.1:5432"
)
_CLICKHOUSE: Final = Check(
    name="ClickHouse",
    group="Services",
    status="skipped",
    detail="not among the configured services",
)
_DOCKER: Final = Check(
    name="Docker", group="Engine", status="fail", ms=120, detail="unix:///var/run/docker.sock"
)

HEALTHY: Final = Report(status="ok", checks=(_CONFIGURATION, _POSTGRES, _REDIS, _CLICKHOUSE))

ENGINE_DOWN: Final = Report(
    status="problems",
    checks=(
        structs.replace(_CONFIGURATION, status="warn"),
        _DOCKER,
        structs.replace(_POSTGRES, status="fail"),
        _REDIS,
    ),
    findings=(
        Finding(
            slug="docker.daemon.down",
            severity="error",
            title="no container engine answers at unix:///var/run/docker.sock",
            evidence="Cannot connect to the Docker daemon at unix:///var/run/docker.sock. "
            "Is the docker daemon running?",
            cause="it is not running, or DOCKER_HOST names another one",
            fix=Fix(text="start it", command="sudo systemctl start docker"),
            confidence="likely",
            check="Docker",
            consequences=(
                Finding(
                    slug="net.refused",
                    severity="error",
                    service="postgres",
                    title="nothing listens at 127.0.0.1:5432",
                    evidence=f"postgresql://app:{CANARY}@127.0.0.1:5432/app: Connection refused",
                    cause="the server is not running, or it listens elsewhere",
                    fix=Fix(text="start the server, or correct host and port"),
                    source="DATABASE_URL",
                    check="Postgres",
                ),
            ),
        ),
        Finding(
            slug="envkit.config.unknown-key",
            severity="warning",
            title="pyproject.toml:12: [tool.envkit] has no key 'lingr'",
            cause="",
            fix=Fix(text="did you mean 'linger'?"),
            check="Configuration",
        ),
    ),
)

INCOMPLETE: Final = Report(
    status="incomplete",
    checks=(
        _CONFIGURATION,
        _POSTGRES,
        structs.replace(_REDIS, status="not-checked", ms=1000, detail="no answer within 1 s"),
        structs.replace(_DOCKER, status="skipped", detail="no service needs it"),
    ),
)

LOG: Final = Report(
    status="problems",
    findings=(
        Finding(
            slug="pg.auth.password",
            severity="error",
            service="postgres",
            title='the server does not take the password of "app"',
            evidence='FATAL:  password authentication failed for user "app"\n'
            "DETAIL:  Connection matched pg_hba.conf line 128",
            cause="the volume keeps the password that it was made with",
            fix=Fix(text="use that one, or remove the volume", command="docker compose down -v"),
            source="line 812",
        ),
    ),
)

UNEXPLAINED: Final = Report(status="incomplete")

_texts = st.text(max_size=40) | st.sampled_from(
    [
        f"redis://app:{CANARY}@127.0.0.1:6379/0",
        f"password={CANARY} host=db",
        "\x1b[31mred\x1b[0m \x00 \ud800 \uffff \u202e",
        "::error::no\r\n::warning::no",
        "<b>&amp;</b> ]]> ``` | *a* [b](c) $x$",
        "1. a\n\n# b\n    - c",
    ]
)


@st.composite
def _findings(draw: st.DrawFn, names: list[str], depth: int) -> Finding:
    further = st.lists(_findings(names, depth - 1), max_size=2) if depth else st.just([])
    return Finding(
        slug=f"made.{draw(st.integers(0, 10**6))}",
        severity=draw(st.sampled_from(("error", "warning", "info"))),
        service=draw(st.sampled_from((None, *SERVICES))),
        title=draw(_texts),
        evidence=draw(_texts),
        cause=draw(_texts),
        fix=Fix(text=draw(_texts), command=draw(_texts)),
        confidence=draw(st.sampled_from(("certain", "likely", "guess"))),
        source=draw(_texts),
        check=draw(st.sampled_from(["", *names])),
        consequences=tuple(draw(further)),
    )


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """Any report whose status follows from what is in it, as triage makes them."""
    number = draw(st.integers(0, 4))
    names = [f"{index} {draw(_texts)}" for index in range(number)]
    findings = tuple(draw(st.lists(_findings(names, 2), max_size=3)))
    seen = [one for finding in findings for one in every(finding)]
    checks = []
    for name in names:
        status: CheckStatus = draw(st.sampled_from(("pass", "skipped", "not-checked")))
        found = [one.severity for one in seen if one.check == name]
        if status == "pass" and found:
            status = "fail" if "error" in found else "warn" if "warning" in found else "pass"
        checks.append(
            Check(
                name=name,
                group=draw(st.sampled_from(("Project", "Services"))),
                status=status,
                ms=draw(st.floats(0, 5000)),
                detail=draw(_texts),
            )
        )
    severities: set[Severity] = {worst(finding) for finding in findings}
    status_of_all: ReportStatus = "ok"
    if "error" in severities:
        status_of_all = "problems"
    elif any(check.status == "not-checked" for check in checks) or draw(st.booleans()):
        status_of_all = "incomplete"
    return Report(status=status_of_all, checks=tuple(checks), findings=findings)

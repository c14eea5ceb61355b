# ruff: noqa: E501 - snapshots hold lines as they are printed
"""What people read."""

from __future__ import annotations

import re

import click
import pytest
from hypothesis import HealthCheck, given, settings
from inline_snapshot import snapshot
from msgspec import structs

from envkit.doctor.model import Finding, Fix, Report
from envkit.doctor.render import text
from envkit.doctor.render.words import verdict
from tests.doctor.render.made import ENGINE_DOWN, HEALTHY, INCOMPLETE, LOG, UNEXPLAINED, reports


def shown(
    report: Report,
    *,
    width: int = 80,
    styled: bool = False,
    ascii_only: bool = False,
    verbose: bool = False,
) -> str:
    return text.render(
        report,
        width=width,
        styled=styled,
        ascii_only=ascii_only,
        verbose=verbose,
        seconds=0.8312,
    )


def test_healthy_is_a_line_for_each_group() -> None:
    assert shown(HEALTHY) == snapshot("""\
✓ Project   Configuration
✓ Services  Postgres, Redis

✓ healthy (0.8 s)
""")


def test_verbose_shows_every_check() -> None:
    assert shown(HEALTHY, verbose=True) == snapshot("""\
✓ Project
    ✓ Configuration  pyproject.toml; services postgres, redis (12 ms)
✓ Services
    ✓ Postgres    18.6 at 127.0.0.1:5432 (31 ms)
    ✓ Redis       Valkey 9.1.0 at 127.0.0.1:6379 (23 ms)
    - ClickHouse  not among the configured services (0 ms)

✓ healthy (0.8 s)
""")


def test_problem_stands_with_its_consequences() -> None:
    assert shown(ENGINE_DOWN) == snapshot("""\
! Project
    ! Configuration  pyproject.toml; services postgres, redis
✗ Engine
    ✗ Docker  unix:///var/run/docker.sock
✗ Services
    ✗ Postgres  18.6 at 127.0.0.1:5432

✗ 1. no container engine answers at unix:///var/run/docker.sock
     [docker.daemon.down]
       Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is
       the docker daemon running?
   Why, probably: it is not running, or DOCKER_HOST names another one
   → sudo systemctl start docker
     start it
   This explains:
   - nothing listens at 127.0.0.1:5432 [net.refused] postgres (DATABASE_URL)

! 2. pyproject.toml:12: [tool.envkit] has no key 'lingr'
     [envkit.config.unknown-key]
   → did you mean 'linger'?

✗ 1 problem, 1 warning (0.8 s)
""")


def test_narrow_terminal() -> None:
    assert shown(ENGINE_DOWN, width=40) == snapshot("""\
! Project
    ! Configuration  pyproject.toml;
                     services postgres,
                     redis
✗ Engine
    ✗ Docker
        unix:///var/run/docker.sock
✗ Services
    ✗ Postgres  18.6 at 127.0.0.1:5432

✗ 1. no container engine answers at
     unix:///var/run/docker.sock
     [docker.daemon.down]
       Cannot connect to the Docker
       daemon at
       unix:///var/run/docker.sock. Is
       the docker daemon running?
   Why, probably: it is not running, or
   DOCKER_HOST names another one
   → sudo systemctl start docker
     start it
   This explains:
   - nothing listens at 127.0.0.1:5432
     [net.refused] postgres
     (DATABASE_URL)

! 2. pyproject.toml:12: [tool.envkit]
     has no key 'lingr'
     [envkit.config.unknown-key]
   → did you mean 'linger'?

✗ 1 problem, 1 warning (0.8 s)
""")


def test_wide_terminal() -> None:
    assert shown(ENGINE_DOWN, width=200) == snapshot("""\
! Project
    ! Configuration  pyproject.toml; services postgres, redis
✗ Engine
    ✗ Docker  unix:///var/run/docker.sock
✗ Services
    ✗ Postgres  18.6 at 127.0.0.1:5432

✗ 1. no container engine answers at unix:///var/run/docker.sock [docker.daemon.down]
       Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?
   Why, probably: it is not running, or DOCKER_HOST names another one
   → sudo systemctl start docker
     start it
   This explains:
   - nothing listens at 127.0.0.1:5432 [net.refused] postgres (DATABASE_URL)

! 2. pyproject.toml:12: [tool.envkit] has no key 'lingr' [envkit.config.unknown-key]
   → did you mean 'linger'?

✗ 1 problem, 1 warning (0.8 s)
""")


def test_plain_ascii() -> None:
    assert shown(ENGINE_DOWN, ascii_only=True) == snapshot("""\
[!]  Project
    [!]  Configuration  pyproject.toml; services postgres, redis
[x]  Engine
    [x]  Docker  unix:///var/run/docker.sock
[x]  Services
    [x]  Postgres  18.6 at 127.0.0.1:5432

[x]  1. no container engine answers at unix:///var/run/docker.sock
        [docker.daemon.down]
       Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is
       the docker daemon running?
   Why, probably: it is not running, or DOCKER_HOST names another one
   -> sudo systemctl start docker
      start it
   This explains:
   - nothing listens at 127.0.0.1:5432 [net.refused] postgres (DATABASE_URL)

[!]  2. pyproject.toml:12: [tool.envkit] has no key 'lingr'
        [envkit.config.unknown-key]
   -> did you mean 'linger'?

[x]  1 problem, 1 warning (0.8 s)
""")


def test_what_was_not_checked_is_not_healthy() -> None:
    assert shown(INCOMPLETE) == snapshot("""\
✓ Project   Configuration
? Services
    ? Redis  no answer within 1 s
- Engine    no service needs it

? not everything could be checked (0.8 s)
""")


def test_log_has_findings_only() -> None:
    assert shown(LOG) == snapshot("""\
✗ 1. the server does not take the password of "app"
     [pg.auth.password] postgres (line 812)
       FATAL:  password authentication failed for user "app"
       DETAIL:  Connection matched pg_hba.conf line 128
   Why: the volume keeps the password that it was made with
   → docker compose down -v
     use that one, or remove the volume

✗ 1 problem (0.8 s)
""")


def test_log_that_says_nothing_known() -> None:
    assert shown(UNEXPLAINED) == snapshot("? no cause found (0.8 s)\n")


def test_colours_change_nothing_but_colours() -> None:
    styled = shown(ENGINE_DOWN, styled=True)
    assert "\x1b[31m✗\x1b[0m" in styled
    assert click.unstyle(styled) == shown(ENGINE_DOWN)


def test_many_consequences_are_counted() -> None:
    root = ENGINE_DOWN.findings[0]
    many = tuple(
        structs.replace(root.consequences[0], title=f"nothing listens at port {number}")
        for number in range(9)
    )
    report = structs.replace(
        ENGINE_DOWN, findings=(structs.replace(root, consequences=many),), checks=()
    )
    assert shown(report).count("nothing listens") == 5
    assert "- and 4 more\n" in shown(report)
    assert shown(report, verbose=True).count("nothing listens") == 9


def test_command_is_never_broken() -> None:
    command = "docker run --rm " + " ".join(f"--label name{number}=value" for number in range(20))
    finding = structs.replace(LOG.findings[0], fix=Fix(text="", command=command))
    assert f"   → {command}\n" in shown(structs.replace(LOG, findings=(finding,)), width=40)


def test_evidence_keeps_its_lines_and_their_depth() -> None:
    finding = structs.replace(LOG.findings[0], evidence="SELECT 1;\n    ^\nDETAIL: x")
    told = shown(structs.replace(LOG, findings=(finding,)))
    assert "       SELECT 1;\n           ^\n       DETAIL: x\n" in told


@pytest.mark.parametrize("width", [0, 20, 33, 40, 80, 200])
@pytest.mark.parametrize("report", [HEALTHY, ENGINE_DOWN, INCOMPLETE, LOG])
def test_lines_fit_but_for_commands_and_long_words(report: Report, width: int) -> None:
    for line in shown(report, width=width, verbose=True).splitlines():
        one_word = " " not in re.sub(r"^\W*(\d+\. )?", "", line)
        assert len(line) <= max(width, 20) or one_word or "→" in line, line


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(reports())
def test_ascii_has_no_other_characters(report: Report) -> None:
    assert shown(report, ascii_only=True).isascii()


def made(severity: str, *consequences: Finding) -> Finding:
    return Finding(
        slug="made.one",
        severity=severity,  # type: ignore[arg-type]  # a str that is one of them
        title="t",
        cause="c",
        fix=Fix(text="f"),
        consequences=consequences,
    )


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (HEALTHY, "healthy"),
        (Report(status="ok", findings=(made("warning"),)), "healthy, 1 warning"),
        (Report(status="ok", findings=(made("info"), made("info"))), "healthy, 2 notes"),
        (Report(status="problems", findings=(made("error"), made("error"))), "2 problems"),
        (
            Report(status="problems", findings=(made("warning", made("error")),)),
            "1 problem",
        ),
        (INCOMPLETE, "not everything could be checked"),
        (UNEXPLAINED, "no cause found"),
        (
            structs.replace(INCOMPLETE, status="problems", findings=(made("error"),)),
            "1 problem, not everything could be checked",
        ),
    ],
)
def test_verdict(report: Report, words: str) -> None:
    assert verdict(report) == words

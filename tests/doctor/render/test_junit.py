# ruff: noqa: E501 - snapshots hold lines as they are printed
"""What CI services read as test results."""

from __future__ import annotations

from xml.dom import minidom
from xml.etree import ElementTree

from hypothesis import HealthCheck, given, settings
from inline_snapshot import snapshot
from msgspec import structs

from envkit.doctor.model import Report
from envkit.doctor.render import junit
from tests.doctor.render.made import ENGINE_DOWN, HEALTHY, INCOMPLETE, LOG, UNEXPLAINED, reports


def outcomes(report: Report) -> dict[str, str]:
    """Test case to outcome, as readers of JUnit files tell them apart."""
    found = {}
    for case in ElementTree.fromstring(junit.render(report)).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        assert len(kinds) <= 1
        found[f"{case.attrib['classname']}.{case.attrib['name']}"] = "".join(kinds) or "passed"
    return found


def test_problem() -> None:
    assert junit.render(ENGINE_DOWN) == snapshot("""\
<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="envkit doctor" tests="4" failures="2" errors="0" skipped="0" time="0.120">
  <testsuite name="envkit doctor" tests="4" failures="2" errors="0" skipped="0" time="0.120">
    <properties>
      <property name="verdict" value="1 problem, 1 warning" />
      <property name="exit code" value="1" />
      <property name="finding 1" value="docker.daemon.down: no container engine answers at unix:///var/run/docker.sock" />
      <property name="finding 2" value="envkit.config.unknown-key: pyproject.toml:12: [tool.envkit] has no key 'lingr'" />
    </properties>
    <testcase classname="envkit.doctor.Project" name="Configuration" time="0.012">
      <system-out>pyproject.toml; services postgres, redis

warning: pyproject.toml:12: [tool.envkit] has no key 'lingr' [envkit.config.unknown-key]
Fix: did you mean 'linger'?</system-out>
    </testcase>
    <testcase classname="envkit.doctor.Engine" name="Docker" time="0.120">
      <failure type="docker.daemon.down" message="no container engine answers at unix:///var/run/docker.sock [docker.daemon.down]">no container engine answers at unix:///var/run/docker.sock [docker.daemon.down]
Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?
Why, probably: it is not running, or DOCKER_HOST names another one
Fix: start it
&#8594; sudo systemctl start docker
explains: nothing listens at 127.0.0.1:5432 [net.refused] postgres (DATABASE_URL)</failure>
      <system-out>unix:///var/run/docker.sock</system-out>
    </testcase>
    <testcase classname="envkit.doctor.Services" name="Postgres" time="0.031">
      <failure type="net.refused" message="nothing listens at 127.0.0.1:5432 [net.refused] postgres (DATABASE_URL)">nothing listens at 127.0.0.1:5432 [net.refused] postgres (DATABASE_URL)
postgresql://app:***@127.0.0.1:5432/app: Connection refused
Why: the server is not running, or it listens elsewhere
Fix: start the server, or correct host and port
because of: no container engine answers at unix:///var/run/docker.sock [docker.daemon.down]</failure>
      <system-out>18.6 at 127.0.0.1:5432</system-out>
    </testcase>
    <testcase classname="envkit.doctor.Services" name="Redis" time="0.023">
      <system-out>Valkey 9.1.0 at 127.0.0.1:6379</system-out>
    </testcase>
  </testsuite>
</testsuites>
""")


def test_healthy() -> None:
    assert outcomes(HEALTHY) == snapshot(
        {
            "envkit.doctor.Project.Configuration": "passed",
            "envkit.doctor.Services.Postgres": "passed",
            "envkit.doctor.Services.Redis": "passed",
            "envkit.doctor.Services.ClickHouse": "skipped",
        }
    )


def test_what_was_not_checked_is_an_error() -> None:
    assert outcomes(INCOMPLETE) == snapshot(
        {
            "envkit.doctor.Project.Configuration": "passed",
            "envkit.doctor.Services.Postgres": "passed",
            "envkit.doctor.Services.Redis": "error",
            "envkit.doctor.Engine.Docker": "skipped",
        }
    )


def test_log_has_a_case_for_each_finding() -> None:
    assert outcomes(LOG) == snapshot({"envkit.doctor.Findings.pg.auth.password": "failure"})


def test_log_that_says_nothing_known_is_an_error() -> None:
    assert outcomes(UNEXPLAINED) == snapshot({"envkit.doctor.Findings.cause": "error"})


def test_consequence_fails_the_check_that_saw_it() -> None:
    assert outcomes(ENGINE_DOWN)["envkit.doctor.Services.Postgres"] == "failure"


def test_characters_that_xml_cannot_hold_are_named() -> None:
    finding = structs.replace(LOG.findings[0], evidence="\x00\x1b[1m\ufffe\ud800]]>")
    root = ElementTree.fromstring(junit.render(structs.replace(LOG, findings=(finding,))))
    assert "\\x00\\x1b[1m\\ufffe\\ud800]]>" in (root.findtext(".//failure") or "")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(reports())
def test_any_report_is_valid_xml(report: Report) -> None:
    told = junit.render(report)
    assert told.isascii()
    assert minidom.parseString(told).getElementsByTagName("testsuite").length == 1

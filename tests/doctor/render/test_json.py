# ruff: noqa: E501 - snapshots hold lines as they are printed
"""What programs read, and its schema."""

from __future__ import annotations

import json as stdlib_json

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from inline_snapshot import snapshot

from envkit.doctor.model import Report
from envkit.doctor.render import json
from envkit.doctor.schema import FILE, report_schema
from tests.doctor.render.made import ENGINE_DOWN, HEALTHY, INCOMPLETE, LOG, reports

SCHEMA = stdlib_json.loads(FILE.read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_report_with_a_consequence() -> None:
    assert json.render(ENGINE_DOWN) == snapshot("""\
{
  "version": 1,
  "status": "problems",
  "checks": [
    {
      "name": "Configuration",
      "group": "Project",
      "status": "warn",
      "ms": 11.6,
      "detail": "pyproject.toml; services postgres, redis",
      "started_ms": 0.0
    },
    {
      "name": "Docker",
      "group": "Engine",
      "status": "fail",
      "ms": 120,
      "detail": "unix:///var/run/docker.sock",
      "started_ms": 0.0
    },
    {
      "name": "Postgres",
      "group": "Services",
      "status": "fail",
      "ms": 31,
      "detail": "18.6 at 127.0.0.1:5432",
      "started_ms": 0.0
    },
    {
      "name": "Redis",
      "group": "Services",
      "status": "pass",
      "ms": 23,
      "detail": "Valkey 9.1.0 at 127.0.0.1:6379",
      "started_ms": 0.0
    }
  ],
  "findings": [
    {
      "slug": "docker.daemon.down",
      "severity": "error",
      "service": null,
      "title": "no container engine answers at unix:///var/run/docker.sock",
      "evidence": "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
      "cause": "it is not running, or DOCKER_HOST names another one",
      "fix": {
        "text": "start it",
        "command": "sudo systemctl start docker"
      },
      "confidence": "likely",
      "source": "",
      "check": "Docker",
      "consequences": [
        {
          "slug": "net.refused",
          "severity": "error",
          "service": "postgres",
          "title": "nothing listens at 127.0.0.1:5432",
          "evidence": "postgresql://app:***@127.0.0.1:5432/app: Connection refused",
          "cause": "the server is not running, or it listens elsewhere",
          "fix": {
            "text": "start the server, or correct host and port",
            "command": ""
          },
          "confidence": "certain",
          "source": "DATABASE_URL",
          "check": "Postgres",
          "consequences": []
        }
      ]
    },
    {
      "slug": "envkit.config.unknown-key",
      "severity": "warning",
      "service": null,
      "title": "pyproject.toml:12: [tool.envkit] has no key 'lingr'",
      "evidence": "",
      "cause": "",
      "fix": {
        "text": "did you mean 'linger'?",
        "command": ""
      },
      "confidence": "certain",
      "source": "",
      "check": "Configuration",
      "consequences": []
    }
  ]
}
""")


def test_published_schema_is_that_of_the_values() -> None:
    assert report_schema() == SCHEMA, "python -m envkit.doctor.schema writes it anew"


def test_schema_is_one() -> None:
    VALIDATOR.check_schema(SCHEMA)


@pytest.mark.parametrize("report", [HEALTHY, ENGINE_DOWN, INCOMPLETE, LOG])
def test_reports_are_what_the_schema_says(report: Report) -> None:
    VALIDATOR.validate(stdlib_json.loads(json.render(report)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(reports())
def test_any_report_is_what_the_schema_says(report: Report) -> None:
    told = json.render(report)
    assert told.isascii()
    VALIDATOR.validate(stdlib_json.loads(told))


def test_schema_refuses_what_is_no_report() -> None:
    told = stdlib_json.loads(json.render(ENGINE_DOWN))
    del told["findings"][0]["consequences"][0]["fix"]
    assert [error.message for error in VALIDATOR.iter_errors(told)] == [
        "'fix' is a required property"
    ]

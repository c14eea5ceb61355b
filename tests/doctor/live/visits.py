"""Visits of the doctor to a project that attaches to one server, and what drivers say there."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import redis

from envkit.doctor.model import Facts, Finding
from envkit.doctor.symptoms import from_exception, from_text
from envkit.doctor.triage import findings_of

if TYPE_CHECKING:
    from envkit.model import ServiceName
    from tests.conftest import Project


class Visits:
    """What the command says of a project with one service.

    Args:
        project: Its configuration is written here.
        service: Which.
        url: Of its server.
        allow: Of the server, if it does not look like a test's.
    """

    def __init__(self, project: Project, service: ServiceName, url: str, allow: str = "") -> None:
        self._project = project
        self._variable = f"{service.upper()}_URL"
        self._url = url
        attach = f'[attach]\nallow = ["{allow}"]\n' if allow else ""
        project.write("envkit.toml", f'services = ["{service}"]\n{attach}')

    def report(self) -> dict[str, Any]:
        name = f"ENVKIT_{self._variable}"
        done = self._project.envkit("doctor", "--format", "json", **{name: self._url})
        assert done.stdout, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        return report

    def first(self) -> dict[str, Any]:
        """The first finding."""
        findings = self.report()["findings"]
        assert findings, "the doctor found nothing"
        found: dict[str, Any] = findings[0]
        return found

    def assert_mended_by(self, finding: dict[str, Any]) -> None:
        """Type the command of a finding, and look again."""
        self.type(finding["fix"]["command"])
        report = self.report()
        assert report["findings"] == []
        assert report["status"] == "ok"

    def type(self, command: str) -> None:
        """Run a command of a finding; what is for redis-cli goes over redis-py without it."""
        name = f"ENVKIT_{self._variable}"
        words = shlex.split(command.replace(f'"${name}"', shlex.quote(self._url)))
        if words[0] == "redis-cli" and shutil.which("redis-cli") is None:
            assert words[1:3] == ["-u", self._url], command
            with redis.Redis.from_url(self._url) as client:
                client.execute_command(*words[3:])
            return
        if words[0] == "envkit":
            done = self._project.envkit(*words[1:], **{name: self._url})
            assert "applied" not in done.stderr, done.stderr
            return
        subprocess.run(words, check=True, capture_output=True, timeout=30)


def slugs_of(action: Callable[[], object]) -> tuple[str, str]:
    """The first finding for what a driver raises: from the exception, and from its text."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
        action()
    error = caught.value
    text = "".join(traceback.format_exception(error))
    return _first(findings_of(from_exception(error), Facts())), _first(
        findings_of(from_text(text), Facts())
    )


def _first(findings: tuple[Finding, ...]) -> str:
    return findings[0].slug if findings else ""

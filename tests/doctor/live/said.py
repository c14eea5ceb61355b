"""What the doctor says of a project, and of an error or text that something really raised."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING, Any

from envkit.doctor.model import Facts, Finding
from envkit.doctor.symptoms import from_exception, from_text
from envkit.doctor.triage import findings_of

if TYPE_CHECKING:
    from tests.conftest import Project

__all__ = ["of_error", "of_text", "slugs_of", "visit"]


def visit(project: Project, *arguments: str, **environment: str) -> dict[str, Any]:
    """The report of ``envkit doctor`` as JSON; its exit code must agree with it."""
    done = project.envkit("doctor", "--format", "json", *arguments, **environment)
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == {"ok": 0, "problems": 1, "incomplete": 3}[report["status"]]
    return report


def slugs_of(report: dict[str, Any]) -> list[str]:
    """Of the root causes, the most probable one first."""
    return [finding["slug"] for finding in report["findings"]]


def of_text(text: str) -> Finding:
    """The first finding of a log."""
    return findings_of(from_text(text), Facts())[0]


def of_error(error: BaseException) -> Finding:
    """The first finding of an exception, which its traceback must give as well."""
    found = findings_of(from_exception(error), Facts())[0]
    assert of_text("".join(traceback.format_exception(error))).slug == found.slug
    return found

"""Which published schema a piece of YAML has to fit."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import yaml

from tests.ci.published import faults, parsed

__all__ = ["kind_of", "misfits"]

_STEPS = {"uses", "run"}


def kind_of(title: str, text: str) -> str:
    """The schema's name, by the file that it is or else by what is in it; empty if none."""
    path = PurePath(title)
    if path.parts[:2] == (".github", "workflows"):
        return "github-workflows"
    if path.name == ".gitlab-ci.yml":
        return "gitlab-ci"
    if "compose" in path.name:
        return "compose-spec"
    document = parsed(text)
    if isinstance(document, list):
        return "github-workflows" if any(_STEPS & set(one) for one in document) else ""
    if "jobs" in document or "steps" in document:
        return "github-workflows"
    values = [value for value in document.values() if isinstance(value, dict)]
    if any("script" in value or "before_script" in value for value in values):
        return "gitlab-ci"
    if "services" in document:
        return "compose-spec"
    return ""


def misfits(text: str, schema: str) -> list[str]:
    """What does not fit; a part of a workflow is looked at in the smallest one that has it."""
    try:
        document = parsed(text)
    except yaml.YAMLError as error:
        return [str(error)]
    if not schema:
        return []
    return faults(_whole(document) if schema == "github-workflows" else document, schema)


def _whole(document: Any) -> Any:
    if isinstance(document, list):
        document = {"steps": document}
    if "jobs" not in document:
        document = {"jobs": {"tests": {"runs-on": "ubuntu-24.04", "steps": []} | document}}
    return {"on": "push"} | document

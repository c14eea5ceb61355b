"""Drivers: those that envkit itself uses, and those that the project says its own code needs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from envkit.doctor.model import Symptom
from envkit.doctor.probes.look import Context, Looked, Probe
from envkit.doctor.rules.driver import DRIVERS
from envkit.model import ServiceName

__all__ = ["PROBES"]

_NAME: Final = "Drivers"
_LIMIT_S: Final = 1.0
#: Import name and distribution of what each service's fixtures need.
_OF_SERVICE: Final[dict[ServiceName, tuple[str, str]]] = {
    "postgres": ("psycopg", "psycopg"),
    "redis": ("redis", "redis"),
    "clickhouse": ("clickhouse_connect", "clickhouse-connect"),
}
_OF_DOCKER: Final = (("docker", "docker"), ("testcontainers", "testcontainers"))
#: https://github.com/docker/docker-py/issues/3256
_DOCKER_WITH_REQUESTS: Final = ((7, 1), (2, 32))
_REQUIREMENTS: Final = ("requirements.txt", "requirements-dev.txt", "requirements-test.txt")
# One plain requirement; whoever has a marker, a URL or an option is left alone.
_PLAIN: Final = re.compile(
    r"^\s*(?P<name>[A-Za-z0-9][\w.-]*)\s*(?:\[[\w, .-]*\])?\s*"
    r"(?:[=<>!~]=?=?\s*[\w.*+!-]+(?:\s*,\s*[=<>!~]=?=?\s*[\w.*+!-]+)*)?\s*(?:#.*)?$"
)


def _look(context: Context) -> Looked:
    if context.config is None:
        return Looked(status="skipped", detail="the configuration cannot be read")
    settings = context.config.settings
    details: list[str] = []
    symptoms: list[Symptom] = []
    for service in settings.services:
        module, distribution = _OF_SERVICE[service]
        if not _is_here(module):
            symptoms.append(_missing(module, f"the fixtures of {service} use it", service))
        else:
            details.append(f"{distribution} {_version(distribution)}".strip())
    if any(settings.backend_of(one) == "docker" for one in settings.services):
        for module, distribution in _OF_DOCKER:
            if _is_here(module):
                details.append(f"{distribution} {_version(distribution)}".strip())
        symptoms += _too_old_for_requests()
    told = {one.data["module"] for one in symptoms if "module" in one.data}
    symptoms += [
        _missing(module, f"{where} names it", None)
        for module, where in _declared(context.root)
        if module not in told
    ]
    return Looked(detail=", ".join(details), symptoms=tuple(symptoms))


def _is_here(module: str) -> bool:
    try:
        return find_spec(module) is not None  # does not import a top-level package
    except (ImportError, ValueError):
        return False


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _missing(module: str, why: str, service: ServiceName | None) -> Symptom:
    return Symptom(
        source="host",
        code="NO_DRIVER",
        text=f"{module} cannot be imported by {sys.executable}; {why}",
        service=service,
        check=_NAME,
        data={"module": module, "python": sys.executable},
    )


def _too_old_for_requests() -> list[Symptom]:
    docker, requests = _version("docker"), _version("requests")
    too_old, from_this = _DOCKER_WITH_REQUESTS
    if not docker or not requests or _numbers(docker) >= too_old:
        return []
    if _numbers(requests) < from_this:
        return []
    both = f"docker {docker} and requests {requests}"
    return [
        Symptom(
            source="docker", code="REQUESTS_232", text=both, check=_NAME, data={"versions": both}
        )
    ]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _declared(root: Path) -> Iterator[tuple[str, str]]:
    """Drivers that the project requires and this Python lacks, each with the file that says so.

    Nothing where this Python is not the one that the project is installed for: then none of what
    the file names is here.
    """
    modules = {_normal(re.sub(r"\[.*", "", pip)): name for name, pip in DRIVERS.items()}
    modules |= {"psycopg": "psycopg", "psycopg2": "psycopg2", "redis": "redis"}
    for where, names in _requirements(root):
        others = [name for name in names if name not in modules]
        if others and not any(_version(name) for name in others):
            continue
        for name in names:
            module = modules.get(name)
            if module and not _version(name) and not _is_here(module):
                yield module, where


def _requirements(root: Path) -> Iterator[tuple[str, list[str]]]:
    import tomllib

    try:
        text = (root / "pyproject.toml").read_text(encoding="utf-8")
        lines = tomllib.loads(text).get("project", {}).get("dependencies", [])
        yield "pyproject.toml", _names(lines if isinstance(lines, list) else [])
    except (OSError, ValueError, AttributeError):
        pass
    for name in _REQUIREMENTS:
        try:
            yield name, _names((root / name).read_text(encoding="utf-8").splitlines())
        except (OSError, ValueError):
            continue


def _names(lines: Sequence[object]) -> list[str]:
    matches = (_PLAIN.match(line) for line in lines if isinstance(line, str))
    return [_normal(match["name"]) for match in matches if match]


def _normal(name: str) -> str:
    """As https://packaging.python.org/specifications/name-normalization/ has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


PROBES: Final = (Probe(name=_NAME, group="Programs", limit=_LIMIT_S, look=_look),)

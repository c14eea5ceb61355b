"""Every error envkit raises, one class for each thing that can be wrong.

::

    EnvkitError
    ├── UsageError                     envkit.usage
    ├── ComposeDrift                   envkit.compose.drift
    ├── ConfigError
    │   ├── ConfigInvalid              envkit.config.invalid
    │   ├── ConfigUnknownKey           envkit.config.unknown-key
    │   └── DsnMalformed               dsn.malformed
    ├── UnavailableError               (no backend here can serve; ``--envkit=auto`` skips on these)
    │   ├── AttachRefused              envkit.attach.refused
    │   ├── BackendNone                envkit.backend.none
    │   ├── DockerDenied               docker.socket.denied
    │   ├── DockerDown                 docker.daemon.down
    │   ├── ExtraMissing               envkit.extra.missing
    │   └── VersionUnavailable         envkit.version.unavailable
    ├── StartError
    │   ├── KeeperStartFailed          envkit.keeper.start-failed
    │   ├── RunDirUnsafe               envkit.run-dir.unsafe
    │   ├── UidNameless                envkit.uid.nameless
    │   ├── AttachDenied               envkit.attach.denied
    │   ├── AttachFailed               envkit.attach.failed
    │   ├── AttachUnsuitable           envkit.attach.unsuitable
    │   ├── ContainerExited            docker.container.exited
    │   ├── ContainerOom               docker.container.oom
    │   ├── DiskFull                   host.disk.full
    │   ├── DockerDiskFull             docker.disk.full
    │   ├── EngineLost                 docker.engine.lost
    │   ├── EngineRefused              docker.engine.refused
    │   ├── ImageFailed                docker.image.failed
    │   ├── ImageMissing               docker.image.missing
    │   ├── ImagePlatform              docker.image.platform
    │   ├── ImageTagUnknown            docker.image.tag-unknown
    │   ├── PullDenied                 docker.pull.denied
    │   ├── PullRateLimit              docker.pull.rate-limit
    │   ├── TmpReadonly                host.tmp.readonly
    │   └── PortsExhausted             host.ports.exhausted
    └── UseError
        ├── KeeperAbsent               envkit.keeper.absent
        ├── KeeperClosing              envkit.keeper.closing
        ├── KeeperLost                 envkit.keeper.lost
        ├── LeaseFailed                envkit.lease.failed
        ├── LeaseLimit                 envkit.lease.limit
        ├── TemplateAbsent             envkit.template.absent
        ├── TemplateFailed             envkit.template.failed
        ├── TemplateShared             envkit.template.shared
        ├── TemplateTimeout            envkit.template.timeout
        ├── TemplateUntouched          envkit.template.untouched
        ├── ExtensionMissing           pg.extension.missing
        ├── SecretsUnwritable          secret.file-unwritable
        ├── DriverMissing              driver.missing
        └── ToolMissing                envkit.tool.missing

The slug is the stable name of the fault. An error travels from the keeper to its client as plain
data (`EnvkitError.as_dict`) and is raised there as the same class (`from_dict`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

__all__ = [
    "AttachDenied",
    "AttachFailed",
    "AttachRefused",
    "AttachUnsuitable",
    "BackendNone",
    "ComposeDrift",
    "ConfigError",
    "ConfigInvalid",
    "ConfigUnknownKey",
    "ContainerExited",
    "ContainerOom",
    "DiskFull",
    "DockerDenied",
    "DockerDiskFull",
    "DockerDown",
    "DriverMissing",
    "DsnMalformed",
    "EngineLost",
    "EngineRefused",
    "EnvkitError",
    "ExtensionMissing",
    "ExtraMissing",
    "ImageFailed",
    "ImageMissing",
    "ImagePlatform",
    "ImageTagUnknown",
    "KeeperAbsent",
    "KeeperClosing",
    "KeeperLost",
    "KeeperStartFailed",
    "LeaseFailed",
    "LeaseLimit",
    "PortsExhausted",
    "PullDenied",
    "PullRateLimit",
    "RunDirUnsafe",
    "SecretsUnwritable",
    "StartError",
    "TemplateAbsent",
    "TemplateFailed",
    "TemplateShared",
    "TemplateTimeout",
    "TemplateUntouched",
    "TmpReadonly",
    "ToolMissing",
    "UidNameless",
    "UnavailableError",
    "UsageError",
    "UseError",
    "VersionUnavailable",
    "by_slug",
    "from_dict",
]

_BY_SLUG: Final[dict[str, type[EnvkitError]]] = {}


def by_slug() -> Mapping[str, type[EnvkitError]]:
    """All kinds of errors that have a slug of their own."""
    return _BY_SLUG


class EnvkitError(Exception):
    """What was observed, what it means, and what to type.

    Args:
        observed: The fact, with names and numbers, as one or two sentences.
        hint: What to do about it: an instruction, best a command.
        detail: Evidence of several lines, such as the tail of a server's log.

    Attributes:
        slug: The stable name of the fault, which ``envkit explain`` explains.
        exit_code: What a command ends with that is stopped by it.
    """

    slug: ClassVar[str] = "envkit.error"
    exit_code: ClassVar[int] = 1

    def __init__(self, observed: str, *, hint: str = "", detail: str = "") -> None:
        super().__init__(observed)
        self.observed = observed
        self.hint = hint
        self.detail = detail

    def __init_subclass__(cls, *, slug: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if slug is not None:
            cls.slug = slug
            _BY_SLUG[slug] = cls

    def __str__(self) -> str:
        parts = [f"{self.observed} [{self.slug}]"]
        if self.detail:
            parts.append("\n".join(f"    {line}" for line in self.detail.splitlines()))
        if self.hint:
            parts.append(f"→ {self.hint}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[Any, ...]:
        return from_dict, (self.as_dict(),)

    def as_dict(self) -> dict[str, str]:
        return {
            "slug": self.slug,
            "observed": self.observed,
            "hint": self.hint,
            "detail": self.detail,
        }


def from_dict(data: dict[str, str]) -> EnvkitError:
    """Build what `EnvkitError.as_dict` described; an unknown slug gives the base class."""
    cls = _BY_SLUG.get(data.get("slug", ""), EnvkitError)
    return cls(data.get("observed", ""), hint=data.get("hint", ""), detail=data.get("detail", ""))


class UsageError(EnvkitError, slug="envkit.usage"):
    """A command or call was given something it cannot take."""

    exit_code = 2


class ComposeDrift(EnvkitError, slug="envkit.compose.drift"):
    """The project's compose file is not the one that its configuration gives."""


class ConfigError(EnvkitError):
    """The configuration cannot be used as it is written."""

    exit_code = 2


class ConfigInvalid(ConfigError, slug="envkit.config.invalid"):
    """A file that does not parse, or a value of the wrong type or range."""


class ConfigUnknownKey(ConfigError, slug="envkit.config.unknown-key"):
    """A key that envkit does not know: most often a typo."""


class DsnMalformed(ConfigError, slug="dsn.malformed"):
    """The URL of a running service cannot be understood, or is another service's."""


class UnavailableError(EnvkitError):
    """No backend on this machine can serve what was asked for."""

    exit_code = 3


class AttachRefused(UnavailableError, slug="envkit.attach.refused"):
    """A running service does not look like one that tests may use."""


class BackendNone(UnavailableError, slug="envkit.backend.none"):
    """There is no way to bring a service up here."""


class DockerDenied(UnavailableError, slug="docker.socket.denied"):
    """The container engine's socket is not for this user."""


class DockerDown(UnavailableError, slug="docker.daemon.down"):
    """No container engine answers."""


class ExtraMissing(UnavailableError, slug="envkit.extra.missing"):
    """The wheels of an extra are not installed."""


class VersionUnavailable(UnavailableError, slug="envkit.version.unavailable"):
    """The version asked for is not one that can be had here."""


class StartError(EnvkitError):
    """A service or the keeper could not be started."""

    exit_code = 3


class AttachDenied(StartError, slug="envkit.attach.denied"):
    """A running service answers, and does not let this user in."""


class AttachFailed(StartError, slug="envkit.attach.failed"):
    """A running service does not answer, or not in its protocol."""


class AttachUnsuitable(StartError, slug="envkit.attach.unsuitable"):
    """A running service is too old, of another version, or gives its user too few rights."""


class KeeperStartFailed(StartError, slug="envkit.keeper.start-failed"):
    """A server or the keeper died, or did not answer in time, while starting."""


class RunDirUnsafe(StartError, slug="envkit.run-dir.unsafe"):
    """The directory for sockets or state belongs to somebody else or is open to others."""


class UidNameless(StartError, slug="envkit.uid.nameless"):
    """The user id has no passwd entry, which Postgres' initdb insists on."""


class DiskFull(StartError, slug="host.disk.full"):
    """No room where servers keep their data."""


class DockerDiskFull(StartError, slug="docker.disk.full"):
    """No room where the container engine keeps images and containers."""


class ContainerExited(StartError, slug="docker.container.exited"):
    """A container's server ended before it answered."""


class ContainerOom(StartError, slug="docker.container.oom"):
    """The kernel killed a container's server because it used more memory than it may."""


class EngineLost(StartError, slug="docker.engine.lost"):
    """The container engine went away while its containers were being started or used."""


class EngineRefused(StartError, slug="docker.engine.refused"):
    """The container engine refused something that envkit has no better name for."""


class ImageFailed(StartError, slug="docker.image.failed"):
    """An image could not be put together, or the engine did not take it."""


class ImageMissing(StartError, slug="docker.image.missing"):
    """An image is not on the engine, and it may not or cannot be fetched."""


class ImagePlatform(StartError, slug="docker.image.platform"):
    """An image is for another architecture than the engine's."""


class ImageTagUnknown(StartError, slug="docker.image.tag-unknown"):
    """The registry has no image of that tag."""


class PullDenied(StartError, slug="docker.pull.denied"):
    """The registry does not let this user fetch the image, or has no such repository."""


class PullRateLimit(StartError, slug="docker.pull.rate-limit"):
    """The registry has given this address enough images for now."""


class TmpReadonly(StartError, slug="host.tmp.readonly"):
    """No place for the servers' data can be written to."""


class PortsExhausted(StartError, slug="host.ports.exhausted"):
    """The kernel has no free port on the loopback interface."""


class UseError(EnvkitError):
    """Something went wrong while services were in use."""


class KeeperAbsent(UseError, slug="envkit.keeper.absent"):
    """Nothing is running for this project."""


class KeeperClosing(UseError, slug="envkit.keeper.closing"):
    """The keeper is shutting down; asking again starts a new one."""


class KeeperLost(UseError, slug="envkit.keeper.lost"):
    """The keeper went away while it was being used."""


class LeaseFailed(UseError, slug="envkit.lease.failed"):
    """A running service refused to give an isolated namespace."""


class LeaseLimit(UseError, slug="envkit.lease.limit"):
    """A server has no room for one more isolated namespace."""


class TemplateAbsent(UseError, slug="envkit.template.absent"):
    """The keeper has no such template (any more); asking for it again builds it."""


class TemplateFailed(UseError, slug="envkit.template.failed"):
    """What prepares a template ended with an error."""

    exit_code = 3


class TemplateShared(UseError, slug="envkit.template.shared"):
    """What prepares a template made something that all databases of the server would share."""

    exit_code = 3


class TemplateUntouched(UseError, slug="envkit.template.untouched"):
    """What prepares a template ended well, and the template is as empty as it was."""

    exit_code = 3


class TemplateTimeout(UseError, slug="envkit.template.timeout"):
    """What prepares a template took longer than it may."""

    exit_code = 3


class ExtensionMissing(UseError, slug="pg.extension.missing"):
    """An extension that was asked for is not there on the server."""

    exit_code = 3


class SecretsUnwritable(UseError, slug="secret.file-unwritable"):
    """The file for secrets cannot be written, or would not be read as it is meant."""


class DriverMissing(UseError, slug="driver.missing"):
    """The Python driver for a service cannot be imported."""


class ToolMissing(UseError, slug="envkit.tool.missing"):
    """A program of this machine that a command of ours needs is not there."""

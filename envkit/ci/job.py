"""What belongs into a project's CI job, whatever CI it is for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final, Literal, TypeAlias, cast, get_args

from msgspec import Struct, structs
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from envkit import services
from envkit.ci.install import Install, install_of
from envkit.ci.pins import PYTHONS, WHEELS
from envkit.config import Config, read_document
from envkit.errors import UsageError
from envkit.host import image_name
from envkit.model import ServiceName, Settings
from envkit.recipes import CiRecipe

__all__ = ["PROVIDERS", "Container", "Job", "Kind", "job_for", "renderer"]

#: Whose servers the tests get: envkit's own, or the service containers of the CI.
Kind: TypeAlias = Literal["own", "containers"]
#: Each is a module of this package with a ``render`` of its own, and the file that it is for.
PROVIDERS: Final = {"github": ".github/workflows/envkit.yml", "gitlab": ".gitlab-ci.yml"}
#: By which a file is known to be of our making.
FIRST_LINE: Final = "# Made by `envkit ci {}` from this project's configuration."
#: What the tests and the doctor leave for a person to look at, relative to the project.
REPORT: Final = "envkit-report"
#: What came of each test.
JUNIT: Final = f"{REPORT}/junit.xml"


class Container(Struct, frozen=True, kw_only=True):
    """A service container.

    Attributes:
        image: With ``{version}`` where one of several is meant.
    """

    service: ServiceName
    image: str
    recipe: CiRecipe


class Job(Struct, frozen=True, kw_only=True):
    """One job.

    Attributes:
        pythons: Versions to run it with, at least one.
        postgres: Versions of Postgres to run it with; none means what is there.
        separately: Whether it runs once for each of those.
        secrets: Names of declared secrets that the CI has to know.
        generated: Whether others are made for each run.
        test: The command that runs the tests, and writes `JUNIT`.
        options: Of the command line that led here, for the first lines.
    """

    kind: Kind
    pythons: tuple[str, ...]
    postgres: tuple[str, ...]
    separately: bool
    containers: tuple[Container, ...]
    install: Install
    secrets: tuple[str, ...]
    generated: bool
    test: str
    notes: tuple[str, ...]
    options: tuple[str, ...]

    def header(self, provider: str) -> str:
        """The comment that a file begins with."""
        command = " ".join(("envkit ci", provider, *self.options, "--write"))
        notes = "".join(f"#\n# {note}\n" for note in self.notes)
        return (
            f"{FIRST_LINE.format(provider)}\n"
            f"# After a change of that: {command}\n"
            "# To keep changes of your own, remove the first line: envkit then leaves it alone.\n"
            f"{notes}"
        )

    @property
    def backend(self) -> str:
        return "embedded" if self.kind == "own" else "attach"

    def axes(self, python: str, postgres: str) -> dict[str, tuple[str, ...]]:
        """What it runs once for each of; empty if it runs once.

        Args:
            python: What the CI's matrix calls the versions of Python.
            postgres: The same of Postgres.
        """
        found = {python: self.pythons if len(self.pythons) > 1 else ()}
        found |= {postgres: self.postgres if self.separately else ()}
        return {name: versions for name, versions in found.items() if versions}

    def urls(self, host: str = "") -> dict[str, str]:
        """The variables that say where the containers are; without a host under their names."""
        return {
            f"ENVKIT_{one.service.upper()}_URL": one.recipe.url.format(host=host or one.service)
            for one in self.containers
        }

    @property
    def other_postgres(self) -> tuple[str, ...]:
        """Those versions of Postgres that have to be installed beside the wheel's."""
        return tuple(v for v in self.postgres if v.split(".")[0] != WHEELS["postgres"])


def look(arguments: str = "") -> list[str]:
    """Lines of a shell that end the job where the doctor finds a problem, or cannot do its work.

    Args:
        arguments: Of the doctor.
    """
    return [
        "# 3: something could not be checked. That is a warning here, as the tests will show it.",
        f"envkit doctor{arguments} || test $? -eq 3",
    ]


def renderer(provider: str) -> Callable[[Job], str]:
    """What makes text of a job for one CI."""
    module = import_module(f"envkit.ci.{provider}")
    return cast("Callable[[Job], str]", module.render)


def job_for(config: Config, *, kind: str = "own", pythons: Sequence[str] = ()) -> Job:
    """The job for a project.

    Args:
        config: Of the project, without what this machine's environment says.
        kind: See `Kind`.
        pythons: Versions to run it with; none takes one that the project allows.

    Raises:
        ConfigInvalid: The project's ``pyproject.toml`` cannot be read.
        UsageError: There is no such kind, the project does not allow such a Python, or its own
            servers are not of the versions that the configuration asks for.
    """
    if kind not in get_args(Kind):
        raise UsageError(
            f"there are no {kind!r} services", hint=f"choose one of {', '.join(get_args(Kind))}"
        )
    settings = config.settings
    own = kind == "own"
    if own:
        _check_wheels(settings)
    versions: tuple[str, ...] = ()
    if "postgres" in settings.services and (own or not settings.postgres.image):
        versions = settings.postgres.versions or tuple(filter(None, (settings.postgres.version,)))
    install = install_of(config.root, embedded=own)
    separately = len(versions) > 1
    containers = () if own else _containers(settings, separately)
    needed = [one for one in config.secrets.values() if "ci" in one.required_in]
    made = [one.name for one in needed if one.generate and config.env_files]
    options: tuple[str, ...] = () if own else ("--services containers",)
    if pythons:
        options += (f"--python {','.join(pythons)}",)
    return Job(
        kind="own" if own else "containers",
        pythons=_pythons(config, pythons),
        postgres=versions,
        separately=separately,
        containers=containers,
        install=install,
        secrets=tuple(one.name for one in needed if one.name not in made),
        generated=bool(made),
        test=f"envkit test --junit {JUNIT}" if config.categories else f"pytest --junitxml={JUNIT}",
        notes=(*install.notes, *_ignored(containers)),
        options=options,
    )


def _check_wheels(settings: Settings) -> None:
    for service in settings.services:
        # Another Postgres can be installed beside the wheel's.
        version = "" if service == "postgres" else settings.of(service).version
        if version and version.split(".")[0] != WHEELS[service]:
            raise UsageError(
                f"{service}.version is {version}, and the embedded extra brings {WHEELS[service]}",
                hint="envkit ci … --services containers",
            )


def _containers(settings: Settings, separately: bool) -> tuple[Container, ...]:
    found = []
    for service in settings.services:
        spec, table = services.load(service), settings.of(service)
        if service == "postgres" and separately:
            table = structs.replace(table, version="{version}")
        image = image_name(spec.image, table, settings.docker, environ={})
        found.append(Container(service=service, image=image, recipe=spec.ci(table)))
    return tuple(found)


def _ignored(containers: Sequence[Container]) -> list[str]:
    return [
        f"Not passed to the container of {one.service}: {', '.join(one.recipe.ignored)}."
        for one in containers
        if one.recipe.ignored
    ]


def _pythons(config: Config, asked: Sequence[str]) -> tuple[str, ...]:
    allowed = _allowed(config)
    for version in asked:
        if not re.fullmatch(r"3\.[0-9]{1,2}", version) or version in ("3.9", "3.10"):
            raise UsageError(
                f"{version!r} is no version of Python that envkit runs on",
                hint=f"choose some of {', '.join(sorted(PYTHONS))}",
            )
        if not _fits(version, allowed):
            raise UsageError(
                f"this project's requires-python is {str(allowed)!r}, which is not {version}",
                hint="change requires-python in pyproject.toml, or name another with --python",
            )
    if asked:
        return tuple(dict.fromkeys(asked))
    fitting = [version for version in PYTHONS if _fits(version, allowed)]
    if not fitting:
        raise UsageError(
            f"this project's requires-python is {str(allowed)!r}, and envkit is tested with"
            f" {', '.join(sorted(PYTHONS))}",
            hint="envkit ci … --python VERSION",
        )
    return (fitting[0],)


def _allowed(config: Config) -> SpecifierSet:
    path = config.root / "pyproject.toml"
    project = read_document(path).data.get("project") if path.is_file() else None
    text = project.get("requires-python") if isinstance(project, dict) else None
    try:
        return SpecifierSet(text if isinstance(text, str) else "")
    except InvalidSpecifier:
        raise UsageError(
            f"requires-python is {text!r}, which is no range of versions",
            hint='write requires-python = ">=3.11"',
        ) from None


def _fits(version: str, allowed: SpecifierSet) -> bool:
    # Some release of it: ">=3.11.4" and "<3.13" mean 3.11 and 3.12 as well.
    return any(f"{version}.{patch}" in allowed for patch in (0, 99))

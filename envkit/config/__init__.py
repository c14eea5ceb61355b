"""Where settings come from: a file of the project, then ``ENVKIT_*``, then the command line.

``[tool.envkit]`` in ``pyproject.toml``, or the same tables without that prefix in ``envkit.toml``.
Every value remembers where it was written (`Config.origins`), and every error names the file, the
line, the key, what stood there and what could stand there instead.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, convert, field

from envkit.config.document import Document, read_document
from envkit.config.environment import ENVIRONMENT, read_environment
from envkit.config.location import configuration_in, find_root, locate
from envkit.config.tables import read_file
from envkit.config.targets import with_targets
from envkit.config.values import KEYS, TEMPLATE, Key, Values, Wrong, backends
from envkit.config.wording import KeyPath, nearest, quoted, show
from envkit.declared import Category, Secret, TemplateSource
from envkit.errors import ConfigInvalid, UsageError
from envkit.model import SERVICES, ServiceName, Settings

__all__ = [
    "ENVIRONMENT",
    "Config",
    "Document",
    "KeyPath",
    "Overrides",
    "Settings",
    "find_root",
    "load",
    "nearest",
    "read_document",
    "show",
]


# Of the file, and no part of `Settings`.
_DECLARATIONS: Final = ("env_files", "secret_dirs", "secrets", "categories")


class Overrides(Struct, frozen=True, kw_only=True):
    """What the command line said; it wins over the environment and the file.

    Attributes:
        backend: One for all services, or ``postgres=docker,redis=embedded``.
        services: None or nothing at all keeps what is configured.
        backend_option: How the option is called where it was given, for origins and errors.
    """

    backend: str | None = None
    services: Sequence[str] | None = None
    backend_option: str = "--backend"


class Config(Struct, frozen=True, kw_only=True):
    """Settings, and where each of them comes from.

    Attributes:
        env_files: Files of lines ``NAME=value`` in which declared secrets are looked for, relative
            to the project or absolute. ``envkit secrets generate`` makes missing ones in the first.
        secret_dirs: Directories in which declared secrets are looked for, each in a file of its
            name; relative to the project or absolute.
        secrets: The secrets that the tests need, by the environment variable that holds each.
        categories: Groups of tests, by name, that ``envkit test`` runs in order.
        templates: What each service's templates are made from, by name; the one that leases are
            copies of unless they say otherwise has an empty name.
        origins: Dotted key to ``pyproject.toml:12``, ``ENVKIT_BACKEND``, ``--backend`` or
            ``default``. Backends appear one a service (``backend.redis``). A URL that the field's
            usual variables give has the name of the variable (``DATABASE_URL``). Declarations
            appear one a name (``secrets.JWT_SECRET``).
        file: The file that holds envkit's tables, if there is one.
    """

    settings: Settings
    root: Path
    env_files: tuple[str, ...] = (".env",)
    secret_dirs: tuple[str, ...] = ("/run/secrets",)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    categories: Mapping[str, Category] = field(default_factory=dict)
    templates: Mapping[ServiceName, Mapping[str, TemplateSource]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    file: Path | None = None


def load(
    root: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Overrides | None = None,
) -> Config:
    """Read the configuration of a project.

    Args:
        root: The project's directory, taken as it is; None looks for it with `find_root`.
        environ: Stands in for ``os.environ``.
        overrides: What the command line said.

    Raises:
        ConfigInvalid: A file cannot be read or parsed, or a value has the wrong type or range.
        ConfigUnknownKey: A key or an ``ENVKIT_*`` name that envkit does not know.
        UsageError: The command line names a service or backend that does not exist.
    """
    environ = os.environ if environ is None else environ
    if root is None:
        root, document = locate()
    else:
        root = root.resolve()
        document = configuration_in(root)
    values = read_file(document) if document is not None else {}
    values |= read_environment(environ) | _read_overrides(overrides or Overrides())
    origins = {".".join(key): "default" for key, reader in KEYS.items() if reader is not None}
    origins |= {".".join(key): origin for key, (_, origin) in values.items()}
    declared = {key: values.pop(key)[0] for key in list(values) if key[0] in _DECLARATIONS}
    templates = _templates(values)
    settings = with_targets(_settings(values, root, environ), environ)
    named = ((service, settings.of(service)) for service in SERVICES)
    origins |= {f"{service}.url": table.url_origin for service, table in named if table.url}
    return Config(
        settings=settings,
        root=root,
        origins=origins,
        file=None if document is None else document.path,
        templates=templates,
        **_declarations(declared),
    )


def _templates(values: Values) -> dict[ServiceName, dict[str, TemplateSource]]:
    """Take out of the values what templates are made from."""
    fields: dict[ServiceName, dict[str, dict[str, Any]]] = {name: {"": {}} for name in SERVICES}
    for key in list(values):
        service, *rest = key
        match rest:
            case [name] if service in SERVICES and name in TEMPLATE:
                fields[service][""][name] = values.pop(key)[0]
            case ["templates", template, name]:
                fields[service].setdefault(template, {})[name] = values.pop(key)[0]  # type: ignore[index] # a service
    return {
        service: {name: TemplateSource(**found) for name, found in named.items()}
        for service, named in fields.items()
    }


def _declarations(declared: Mapping[Key, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for (first, *rest), value in declared.items():
        if rest:
            fields.setdefault(first, {})[rest[0]] = value
        else:
            fields[first] = value
    return fields


def _read_overrides(overrides: Overrides) -> Values:
    values: Values = {}
    named = overrides.services or ()
    for service in named:
        if service not in SERVICES:
            known = ", ".join(SERVICES)
            guess = nearest(service, SERVICES)
            raise UsageError(
                f"there is no service {quoted(service)}; there are {known}",
                hint=f"did you mean {guess}?" if guess else f"name one of {known}",
            )
    if named:
        chosen = tuple(name for name in SERVICES if name in named)
        values["services",] = (chosen, "command line")
    option = overrides.backend_option
    if overrides.backend is not None:
        try:
            read = backends(overrides.backend)
        except Wrong as wrong:
            raise UsageError(
                f"{option} is {show(wrong.value)}; expected {wrong.expected}",
                hint=f"write {option} {wrong.example}",
            ) from None
        values |= {key: (choice, option) for key, choice in read.items()}
    return values


def _settings(values: Values, root: Path, environ: Mapping[str, str]) -> Settings:
    tree: dict[str, Any] = {}
    for key, (value, _) in values.items():
        *tables, name = key
        if tables == ["backend"] and value == "auto":
            continue  # what a service has anyway: written or not, it means the same
        table = tree
        for part in tables:
            table = table.setdefault(part, {})
        table[name] = value
    # Whoever means another engine must not join a keeper that uses this one.
    for name, variable in (("host", "DOCKER_HOST"), ("context", "DOCKER_CONTEXT")):
        if environ.get(variable):
            tree.setdefault("docker", {})[name] = environ[variable]
    for service in SERVICES:
        if tree.get(service, {}).get("url"):
            tree[service]["url_origin"] = values[service, "url"][1]
    if versions := tree.get("postgres", {}).get("versions"):
        # One version at a time is what everything else knows: the first, unless one is named.
        tree["postgres"].setdefault("version", versions[0])
        if values.get(("postgres", "version"), (None, ""))[1] == "ENVKIT_POSTGRES_VERSION":
            # A variable that names one means this one alone, as in a job of CI's matrix.
            del tree["postgres"]["versions"]
    if tree.get("data_dir"):
        # The same place from wherever below the project a command is typed.
        tree["data_dir"] = str(root / _home(tree["data_dir"], environ))
    return convert(tree, Settings)


def _home(path: str, environ: Mapping[str, str]) -> str:
    if path != "~" and not path.startswith("~/"):
        return path
    if not environ.get("HOME"):
        raise ConfigInvalid(
            f"data_dir is {show(path)}, and the environment has no HOME to stand for '~'",
            hint="write the whole path",
        )
    return environ["HOME"] + path[1:]

"""``environment.md``: every variable that is read, and every one that is set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from docs.generator.configuration import alike, link
from docs.generator.keys import Entry, entries
from docs.generator.markdown import bullet, code, document, prose, table
from envkit import services
from envkit.config.environment import ENVIRONMENT
from envkit.config.foreign import FOREIGN, INTERNAL
from envkit.config.values import KEYS
from envkit.export.compose import render
from envkit.model import SERVICES, Endpoint, ServiceName, Settings
from envkit.services.postgres import BY_PARAMETER
from envkit.variables import ADMIN_URLS

__all__ = ["page"]

_FIELDS: Final = ("url", "host", "user", "password", "database")


def page() -> str:
    return document(
        "Environment variables",
        [
            "\n".join(f"- [{title}](#{title.lower().replace(' ', '-')})" for title in _SECTIONS),
            *(part for title, make in _SECTIONS.items() for part in (f"## {title}", *make())),
        ],
    )


def _settings() -> Iterator[str]:
    yield prose(
        "These go over the configuration file, and the command line goes over these. An empty value"
        " counts as unset. Any other name that begins with `ENVKIT_` is an error that names the"
        " nearest one of these."
    )
    read = [entry for entry in entries() if entry.variable]
    yield "\n".join(bullet(_setting(those)) for those in alike(read))


def _setting(those: list[Entry]) -> str:
    names = ", ".join(code(one.variable) for one in those)
    return f"{names} for {link(those)}: {those[0].meaning}{_written(those[0])}"


def _written(entry: Entry) -> str:
    """How it is written where that is not as in the file."""
    _, as_in_file = ENVIRONMENT[entry.variable]
    if KEYS.get(entry.key) is None:
        return " Written as `docker`, or as `postgres=docker,redis=embedded`."
    if as_in_file("a,b") == ["a", "b"]:
        return " Several are written with commas between."
    if as_in_file("1") is True:
        return " `1`, `true`, `yes` and `on` mean true; `0`, `false`, `no` and `off` mean false."
    return ""


def _set() -> Iterator[str]:
    yield prose(
        "`envkit run`, `envkit export`, the fixture `isolated_env`, the key `export_env`, and the"
        " commands of `migrate` and `seed` set these, of the services that the lease has:"
    )
    rows = [row for service in SERVICES for row in _variables(service)]
    yield table(["variable", "value"], rows)
    yield prose(
        "`env` of the configuration adds names of your own, and `isolated_env` the declared"
        " secrets. A program whose server is not envkit's own also gets"
        f" {_listed(list(ADMIN_URLS.values()))}, so that an envkit that it starts uses the same."
    )
    yield prose("Taken away, because they would lead programs elsewhere:")
    taken = ((services.load(name).title, services.load(name).misleading) for name in SERVICES)
    yield "\n".join(
        bullet(f"{_listed(names)}; of these, what the URL says is set again.", f"With {title}")
        for title, names in taken
        if names
    )


def _variables(service: ServiceName) -> Iterator[tuple[str, str]]:
    """The variables of a service, each with the field of the endpoint that is its value."""
    said = "&".join(f"{name}={name}" for name in BY_PARAMETER)
    fields = {field: field for field in _FIELDS} | {"url": f"https://url?{said}"}
    endpoint = Endpoint(
        service=service,
        backend="attach",
        product="",
        version="",
        host=fields["host"],
        port=1,
        user=fields["user"],
        password=fields["password"],
        database=fields["database"],
        url=fields["url"],
    )
    values = {text: field for field, text in fields.items()} | {"1": "port"}
    for name, value in services.load(service).environment(endpoint).items():
        if value in values:
            yield code(name), code(f"{service}.{values[value]}")
        elif value in BY_PARAMETER:
            yield code(name), f"{code(value)} of the URL, if that says it"
        else:
            yield code(name), f"{code(value)}, if the URL begins with `https:`"


def _foreign() -> Iterator[str]:
    for title, those in FOREIGN.items():
        yield f"### {title}"
        yield _list(those)
    yield "### Declared secrets"
    yield prose(
        "A secret `NAME` of `[tool.envkit.secrets]` is read from `NAME`, and from the file that"
        " `NAME_FILE` names."
    )


def _compose() -> Iterator[str]:
    yield prose(
        "The file that `envkit compose render` writes reads these, or a file `.env` beside it. The"
        " defaults are those without any configuration."
    )
    found = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", render(Settings())))
    yield table(
        ["variable", "default"],
        [(code(name), code(text) if text else "nothing") for name, text in found.items()],
    )


def _internal() -> Iterator[str]:
    yield prose("Between envkit's own processes; do not set them.")
    yield _list(INTERNAL)


def _list(those: Mapping[str, str]) -> str:
    return "\n".join(bullet(f"{code(name)}: {meaning}") for name, meaning in those.items())


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(map(code, names))


_SECTIONS: Final = {
    "Settings": _settings,
    "Set for programs and tests": _set,
    "Read beside these": _foreign,
    "Of the compose file": _compose,
    "Internal": _internal,
}

"""What envkit needs to know about a service; each module here fills in one `Service`."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from envkit.model import Endpoint, ServiceName, ServiceSettings
from envkit.recipes import (
    CiRecipe,
    ComposeRecipe,
    ContainerRecipe,
    FoundImage,
    FoundProgram,
    Image,
    ProcessRecipe,
    Program,
    ShellTool,
)

__all__ = [
    "THROW_AWAY",
    "Address",
    "Greeting",
    "Groundwork",
    "Namespace",
    "Sealed",
    "Service",
    "address_of",
    "new_password",
]


#: The password of servers that one job of a CI has to itself: no secret, and written as none.
THROW_AWAY: Final = "throw-away"


def new_password() -> str:
    """32 characters with 160 bits of chance that need no quoting in any URL, file or shell."""
    return base64.b32encode(os.urandom(20)).decode().lower()


class Address(Struct, frozen=True, kw_only=True):
    """How the keeper itself reaches a server, with its highest rights.

    Attributes:
        socket_dir: Where the server's Unix socket is, if it has one.
        database: To connect to; empty takes the service's usual one.
        tls: Whether TLS is part of the way there.
        parameters: What else a URL said, in the driver's own words.
        run: `Owner.run` of whoever uses a server that is not ours: all names begin with
            ``envkit_RUN_`` there. Empty on servers of our own.
    """

    host: str
    port: int
    user: str
    password: str
    socket_dir: str = ""
    database: str = ""
    tls: bool = False
    parameters: dict[str, str] = field(default_factory=dict)
    run: str = ""

    @property
    def prefix(self) -> str:
        """What all names begin with that are made there."""
        return f"envkit_{self.run}_" if self.run else ""

    @property
    def url_host(self) -> str:
        """``host:port`` as URLs have it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"Address({self.user}@{self.host}:{self.port})"


def address_of(endpoint: Endpoint) -> Address:
    """The way of whoever has a namespace, to a server that may be anybody's."""
    from envkit import dsn  # needed where templates are made, and nowhere else

    # Whether there is TLS, and what else belongs to the way there, is in the URL alone.
    url = dsn.read(endpoint.service, endpoint.url, "the URL of the lease")
    return Address(
        host=url.host,
        port=url.port,
        user=endpoint.user,
        password=endpoint.password,
        tls=url.tls,
        parameters=dict(url.parameters),
    )


class Greeting(Struct, frozen=True, kw_only=True):
    """What a server says of itself in its first answer."""

    product: str
    version: str


class Namespace(Struct, frozen=True, kw_only=True):
    """The part of a server that one lease owns.

    Attributes:
        mark: What the server said of it before anybody had it, in the service's own words;
            `Service.renew` compares.
    """

    user: str
    password: str
    database: str
    mark: str = ""

    def __repr__(self) -> str:
        return f"Namespace({self.database!r} as {self.user!r})"


class Groundwork(Struct, frozen=True, kw_only=True):
    """What a template needs before its builder gets it, and only a server's admin can make.

    Attributes:
        extensions: Of Postgres.
        roles: Of Postgres: shared by all databases, made where they are missing.
        migrated: Whether a command is to fill it, so that it must not be empty in the end.
    """

    extensions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    migrated: bool = False


class Sealed(Struct, frozen=True, kw_only=True):
    """A finished template, which nobody changes any more; each service adds what copies need.

    Attributes:
        namespace: Where it lies, if it lies in a server.
    """

    namespace: Namespace | None = None


class Service(Struct, frozen=True, kw_only=True):
    """One service.

    Attributes:
        title: As people write it.
        admin: The user the keeper connects as.
        programs: That can serve it as a plain process, the preferred one first.
        process: Settings and program to the recipe for a plain process.
        image: Where its container images come from.
        container: Settings and image to the recipe for a container.
        compose: Settings and image to the recipe for Docker Compose.
        ci: Settings to the recipe for a service container of a CI job.
        greet: One round trip in the service's own protocol with credentials; raises until the
            server answers. Takes an address and a limit in seconds.
        warm: Load what `greet` takes long to load, while something else is waited for.
        create: Make a namespace with this name, and write on it whose it is (`Owner.text`); empty,
            or a copy of a template.
        drop: Remove it and whoever is still connected to it.
        begin: Make a namespace for whoever prepares a template; None does with `create`.
        seal: Make a template of a namespace that somebody has prepared; nobody gets in afterwards.
            Raises `TemplateFailed` if it cannot be copied truly.
        unseal: Remove a template that nobody needs any more.
        renew: Make a namespace that was used as if it were new, under another name and password,
            and nobody connected; None unless it is provable that nothing of the last use stays,
            or where that would take longer than a new one. Never raises because of what a user
            did to it.
        apply: Run a file of statements in somebody's namespace: where, which file, and how to call
            it in an error. Raises `TemplateFailed` with the server's own words.
        fill: For a ``whole`` server: put the content of a template into it. None for others.
        whole: The namespace that is all of a server, for servers so cheap as processes that each
            lease gets one of its own; None if leases always share one.
        url: Of a namespace, for programs.
        environment: The variables that programs expect, from an endpoint.
        misleading: Variables that would send programs elsewhere, so they are taken away.
        handle: The class of what a fixture hands to a test.
        tool: How to talk to it from a terminal.
    """

    name: ServiceName
    title: str
    admin: str
    programs: tuple[Program, ...]
    process: Callable[[ServiceSettings, FoundProgram], ProcessRecipe]
    image: Image
    container: Callable[[ServiceSettings, FoundImage], ContainerRecipe]
    compose: Callable[[ServiceSettings, FoundImage], ComposeRecipe]
    ci: Callable[[ServiceSettings], CiRecipe]
    greet: Callable[[Address, float], Greeting]
    warm: Callable[[], None]
    create: Callable[[Address, str, ServiceSettings, str, Sealed | None], Namespace]
    drop: Callable[[Address, Namespace], None]
    seal: Callable[[Address, Namespace], Sealed]
    unseal: Callable[[Address, Sealed], None]
    renew: Callable[[Address, Namespace, str, Sealed | None], Namespace | None]
    apply: Callable[[Endpoint, Path, str], None]
    whole: Callable[[Address], Namespace] | None
    url: Callable[[Address, Namespace], str]
    environment: Callable[[Endpoint], Mapping[str, str]]
    misleading: tuple[str, ...]
    handle: Callable[[Endpoint], Any]
    tool: Callable[[Endpoint], ShellTool]
    begin: Callable[[Address, str, ServiceSettings, str, Groundwork], Namespace] | None = None
    fill: Callable[[Address, Namespace, Sealed], None] | None = None

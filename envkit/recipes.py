"""What a backend interprets to bring up a service: recipes, programs and images, as plain data."""

from __future__ import annotations

import signal
from typing import Literal

from msgspec import Struct, field

__all__ = [
    "CiRecipe",
    "ComposeRecipe",
    "ContainerRecipe",
    "FoundImage",
    "FoundProgram",
    "Image",
    "Pristine",
    "ProcessRecipe",
    "Program",
    "ShellTool",
]


class Program(Struct, frozen=True, kw_only=True):
    """Where the program of a server may be found, and how to ask its version.

    Attributes:
        origin: ``path`` looks on PATH and in ``directories``; ``wheel`` inside an installed
            package; ``module`` is a package that a Python program of ours imports.
        name: The program; for ``wheel`` its place inside the package.
        package: For ``wheel`` and ``module``: the import name that must be there.
        distribution: What pip calls that package.
        directories: Glob patterns of directories that are looked into after PATH.
    """

    product: str
    origin: Literal["path", "wheel", "module"]
    name: str = ""
    package: str = ""
    distribution: str = ""
    directories: tuple[str, ...] = ()


class FoundProgram(Struct, frozen=True, kw_only=True):
    """A `Program` that is there.

    Attributes:
        path: Of the executable, or of the package's directory for a ``module``.
        version: Dotted numbers, as the program or the distribution's metadata says it.
        fingerprint: Changes whenever the files behind it change.
    """

    program: Program
    path: str
    version: str
    fingerprint: str


class Pristine(Struct, frozen=True, kw_only=True):
    """A data directory that is made once per machine and copied for each start.

    Attributes:
        program: The one that makes it, beside the server's own program.
        arguments: With ``{data}`` where the directory goes.
    """

    program: str
    arguments: tuple[str, ...]


class ProcessRecipe(Struct, frozen=True, kw_only=True):
    """How a server runs as a plain process; a backend fills the braces in.

    ``{program}``, ``{python}``, ``{data}``, ``{run}`` (a directory beside the data, for sockets
    and configuration), ``{port}``, ``{user}`` and ``{password}`` are replaced in arguments, file
    names and file contents. Passwords belong into files only: arguments are public.

    Attributes:
        files: Name to content; written with mode 0600 before the start.
        environment: Set for the server, beside a minimal one.
        pristine: How the data directory begins, if not empty.
        unprivileged: The server refuses to run as root, so root starts it as somebody else.
        stop_signal: Ends the server at once without leaving shared memory behind.
        port_taken: A regular expression that in the server's log means the port is in use.
        has_socket: Whether the server also listens on a Unix socket in ``{run}``.
    """

    arguments: tuple[str, ...]
    files: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    pristine: Pristine | None = None
    unprivileged: bool = False
    stop_signal: int = signal.SIGTERM
    port_taken: str = "Address already in use"
    has_socket: bool = False


class Image(Struct, frozen=True, kw_only=True):
    """Where a service's image comes from.

    Attributes:
        official: Repository of the official image.
        version: The tag to use if no version is asked for.
        built: Repository of those that ``envkit images build`` makes.
    """

    official: str
    version: str
    built: str


class FoundImage(Struct, frozen=True, kw_only=True):
    """An image that the engine has, or one that is to be fetched.

    Attributes:
        reference: As it is named towards the engine.
        here: Whether the engine has it; what follows is empty if not.
        version: As far as the image says it.
        environment: What is set in its containers.
        volumes: Directories it declares for data.
        built: Whether it was made by ``envkit images build``.
        product: What runs in it, if it says so.
    """

    reference: str
    here: bool = False
    version: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    built: bool = False
    product: str = ""


class ContainerRecipe(Struct, frozen=True, kw_only=True):
    """How a server runs in a container of the official image's interface.

    ``{user}`` and ``{password}`` are replaced in file contents and in the environment. Passwords
    belong into files wherever the image reads them: anybody who may ask the engine can read
    arguments and environment.

    Attributes:
        port: That the server listens on inside.
        files: Path in the container to content, put there before it starts.
        data: Directories on a tmpfs, beside those that the image declares as volumes.
        shm_size: Of /dev/shm; empty takes the engine's default (64 MB).
    """

    port: int
    environment: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    shm_size: str = ""


class ComposeRecipe(Struct, frozen=True, kw_only=True):
    """How a server runs under Docker Compose, with credentials that the environment may name.

    An environment value or a file of the container that is ``{user}``, ``{password}`` or
    ``{database}`` and nothing else stands for that credential.

    Attributes:
        container: What runs.
        ready: A shell command in the container that succeeds once the server can be used from
            outside of it, and not before.
        credentials: What may stand in braces, to its variable and the value if that is not set.
    """

    container: ContainerRecipe
    ready: str
    credentials: dict[str, tuple[str, str]]


class CiRecipe(Struct, frozen=True, kw_only=True):
    """How the official image runs as a service container of a CI job, with credentials for all.

    A CI gives it an environment and a command, and no files.

    Attributes:
        port: That the server listens on.
        environment: Of the container.
        command: Instead of the image's own; nothing keeps that.
        ready: A command for its health check that needs no shell.
        url: Where it is then, with ``{host}`` for the host and without a port of its own.
        ignored: Settings of the project that cannot reach it this way.
    """

    port: int
    environment: dict[str, str]
    command: tuple[str, ...]
    ready: tuple[str, ...]
    url: str
    ignored: tuple[str, ...] = ()


class ShellTool(Struct, frozen=True, kw_only=True):
    """A terminal client for a service.

    Attributes:
        programs: Names to look for, in this order; none found means envkit's own prompt.
        wheel: A `Program` that may carry the client, looked at after PATH.
        arguments: Without anything secret.
        piped_arguments: Before those, if its input does not come from a person.
        environment: With the credentials.
    """

    programs: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: dict[str, str]
    piped_arguments: tuple[str, ...] = ()
    wheel: Program | None = None

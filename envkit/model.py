"""The values that travel through envkit: frozen, slotted, keyword-only."""

from __future__ import annotations

import re
import signal
from typing import Any, Literal

from msgspec import Struct, field, structs

__all__ = [
    "BACKENDS",
    "SERVICES",
    "AttachSettings",
    "BackendChoice",
    "BackendName",
    "CiRecipe",
    "ComposeRecipe",
    "ContainerRecipe",
    "DockerSettings",
    "Endpoint",
    "FoundImage",
    "FoundProgram",
    "Image",
    "Isolation",
    "Lease",
    "PostgresSettings",
    "Pristine",
    "ProcessRecipe",
    "Program",
    "PullPolicy",
    "Reaper",
    "RedisSettings",
    "ServiceName",
    "ServiceSettings",
    "ServiceStatus",
    "Settings",
    "ShellTool",
    "Want",
    "as_builtins",
]

ServiceName = Literal["postgres", "redis", "clickhouse"]
BackendName = Literal["embedded", "docker", "attach"]
BackendChoice = Literal["auto", "embedded", "docker", "attach"]
PullPolicy = Literal["missing", "always", "never"]
Reaper = Literal["keeper", "ryuk"]
#: How Redis leases are kept apart: a server for each, or a numbered database of one server.
Isolation = Literal["auto", "server", "database"]

SERVICES: tuple[ServiceName, ...] = ("postgres", "redis", "clickhouse")
BACKENDS: tuple[BackendName, ...] = ("embedded", "docker", "attach")


class Endpoint(Struct, frozen=True, kw_only=True):
    """Where and how to reach one running service.

    Attributes:
        service: ``postgres``, ``redis`` or ``clickhouse``.
        backend: What serves it: ``embedded``, ``docker`` or ``attach``.
        product: What answers there, which need not carry the service's name ("Valkey").
        version: As the server itself reports it.
        host: Name or address, as it is reached from here.
        port: Of its usual protocol; of ClickHouse that of HTTP.
        user: That of the lease.
        password: That of the lease.
        database: The name; for Redis the number.
        url: All of that as drivers and libraries take it.
        started_ms: Milliseconds from the decision to start until the first answered query.
    """

    service: ServiceName
    backend: BackendName
    product: str
    version: str
    host: str
    port: int
    user: str
    password: str
    database: str
    url: str
    started_ms: float = 0.0

    def __repr__(self) -> str:
        shown = structs.asdict(self) | {"password": "***", "url": self.safe_url}
        return f"Endpoint({', '.join(f'{k}={v!r}' for k, v in shown.items())})"

    @property
    def safe_url(self) -> str:
        """The URL with its password masked, fit for a screen."""
        # By its place and not by its value, which is quoted there.
        return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", self.url)

    @property
    def secrets(self) -> set[str]:
        """The password in all forms in which it is part of variables."""
        place = re.search(r"://[^:/@]*:([^@]*)@", self.url)
        return {self.password, place[1] if place else ""} - {""}


class Want(Struct, frozen=True, kw_only=True, order=True):
    """What a lease is to have of one service.

    Attributes:
        template: Key of the template it is a copy of; nothing means empty.
        version: Of the server, if not the configured one.
        isolation: Of Redis, if not as configured.
    """

    service: ServiceName
    template: str = ""
    version: str = ""
    isolation: Isolation = "auto"


class Lease(Struct, frozen=True, kw_only=True):
    """Isolated namespaces, one on each service asked for, under one id.

    Attributes:
        logs: The files that their servers write to; nothing for servers that are not ours.
        own: Those services whose server is this lease's alone.
    """

    id: str
    endpoints: dict[ServiceName, Endpoint]
    logs: dict[ServiceName, str] = field(default_factory=dict)
    own: tuple[ServiceName, ...] = ()


class ServiceStatus(Struct, frozen=True, kw_only=True):
    """One service as the keeper sees it.

    Attributes:
        pid: Of a server that is a process of this machine's.
        container: Short id of the container it runs in.
        ready: How many namespaces nobody has yet and anybody can have at once.
        pending: How many are being made, renewed or removed for that, or wait for it.
    """

    service: ServiceName
    state: Literal["idle", "starting", "ready", "failed", "stopped"]
    backend: BackendName
    why: str
    product: str = ""
    version: str = ""
    host: str = ""
    port: int = 0
    pid: int | None = None
    container: str = ""
    started_ms: float = 0.0
    leases: int = 0
    ready: int = 0
    pending: int = 0


class ServiceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One service's table.

    Attributes:
        version: A version of the server or its beginning: ``18`` takes 18.6. A server on ``PATH``
            of that version goes before a wheel. If not given, what is there is taken; for docker,
            ``postgres:18``, ``redis:8`` or ``clickhouse/clickhouse-server:25.8``.
        settings: Settings of the server's own configuration, passed on to it as they are.
        image: For docker: the image, instead of the official one of that version.
        memory: For docker: the most memory that the container may use. No limit if not given.
        shm_size: For docker: the size of the container's ``/dev/shm``. If not given, 256 MB for
            Postgres, and what the engine gives for others.
        url: For attach: where the service runs, with credentials. These are better kept in the
            variable than in a file that is checked in.
        url_origin: The variable or file that ``url`` comes from.
        pool: How many copies of each template are kept ready while tests run; 0 for none.
        max_leases: How many leases there may be at a time, copies that are kept ready included.
            One more is an error that says who has them, and does not wait.
    """

    version: str = ""
    settings: dict[str, str | int | float | bool] = field(default_factory=dict)
    image: str = ""
    memory: str = ""
    shm_size: str = ""
    url: str = ""
    url_origin: str = ""
    pool: int = 4
    max_leases: int = 200


class RedisSettings(ServiceSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``redis`` table.

    Attributes:
        isolation: How leases are kept apart: by a ``server`` for each, or by a numbered
            ``database`` of one server. ``auto`` takes servers where they are processes of this
            machine, else databases.
    """

    isolation: Isolation = "auto"


class PostgresSettings(ServiceSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``postgres`` table.

    Attributes:
        superuser: Whether databases are owned by a superuser, for tests that need one; else by an
            ordinary role.
        versions: Several versions at once: each test that uses Postgres runs with each of them, as
            ``test_it[postgres-18]``. Whatever uses one version takes the first, unless ``version``
            says another.
    """

    superuser: bool = False
    versions: tuple[str, ...] = ()


class DockerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``docker`` table.

    Attributes:
        pull: When images are fetched: if they are ``missing`` on the engine, ``always``, or
            ``never``.
        registry: A registry that goes before the names of images that name none themselves.
        reaper: Who removes containers if the keeper (the process that owns the servers) is killed:
            its watchdog alone, or ``ryuk``, the container of testcontainers', as well.
        host: DOCKER_HOST of whoever starts the keeper, so that others with another do not join it.
        context: DOCKER_CONTEXT, likewise.
    """

    pull: PullPolicy = "missing"
    registry: str = ""
    reaper: Reaper = "keeper"
    host: str = ""
    context: str = ""


class AttachSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``attach`` table.

    Attributes:
        allow: Servers and databases that tests may use although they do not look like a test's:
            ``host``, ``host:port``, or either with ``/database``; ``*`` stands for any text and
            ``?`` for any character. What looks like production needs that very word in a pattern.
    """

    allow: tuple[str, ...] = ()


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[tool.envkit]``, with every value filled in.

    Attributes:
        services: Which services the fixture ``real_services`` and the commands mean when none is
            named.
        backend: How services come to be, one word for all or one for each: ``embedded`` runs
            processes of this machine, ``docker`` containers, ``attach`` uses what runs already, and
            ``auto`` takes the first of these that can serve.
        linger: How long the servers stay up after their last user has gone.
        start_timeout: How long a server may take to answer its first query.
        data_dir: The directory in which servers keep their throw-away data. If not given, a file
            system in memory that has room, else ``TMPDIR``.
        env: Further environment variables for programs and tests, by name: ``service.field``, with
            a field of ``url``, ``host``, ``port``, ``user``, ``password`` and ``database``. A URL
            may have another scheme, as in ``"postgres.url as postgresql+asyncpg"``.
        export_env: Whether pytest takes a lease and sets the environment before it imports
            conftests, for applications that read their URLs when they are imported. Declared
            secrets that are not set are set as well.
    """

    services: tuple[ServiceName, ...] = SERVICES
    backend: dict[ServiceName, BackendChoice] = field(default_factory=dict)
    linger: float = 0.0
    start_timeout: float = 60.0
    data_dir: str = ""
    env: dict[str, str] = field(default_factory=dict)
    export_env: bool = False
    docker: DockerSettings = field(default_factory=DockerSettings)
    attach: AttachSettings = field(default_factory=AttachSettings)
    postgres: PostgresSettings = field(default_factory=PostgresSettings)
    redis: RedisSettings = field(default_factory=RedisSettings)
    clickhouse: ServiceSettings = field(default_factory=ServiceSettings)

    def of(self, service: ServiceName) -> ServiceSettings:
        """The table of one service."""
        table: ServiceSettings = getattr(self, service)
        return table

    def for_servers(self) -> Settings:
        """Only what the servers depend on: clients that agree on this share them."""
        # Where a URL was found does not matter: programs started by `envkit run` get it in
        # another variable, and belong to the same keeper.
        return structs.replace(
            self,
            services=SERVICES,
            env={},
            export_env=False,
            postgres=structs.replace(self.postgres, url_origin=""),
            redis=structs.replace(self.redis, url_origin=""),
            clickhouse=structs.replace(self.clickhouse, url_origin=""),
        )

    def backend_of(self, service: ServiceName) -> BackendChoice:
        return self.backend.get(service, "auto")


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


def as_builtins(value: Any) -> Any:
    """Plain dicts and lists of a value, for JSON."""
    from msgspec import to_builtins

    return to_builtins(value)

"""The values that travel through envkit: frozen, slotted, keyword-only."""

from __future__ import annotations

import re
from typing import Any, Literal

from msgspec import Struct, field, structs

__all__ = [
    "BACKENDS",
    "SERVICES",
    "AttachSettings",
    "BackendChoice",
    "BackendName",
    "DockerSettings",
    "Endpoint",
    "Isolation",
    "Lease",
    "PostgresSettings",
    "PullPolicy",
    "Reaper",
    "RedisSettings",
    "ServiceName",
    "ServiceSettings",
    "ServiceStatus",
    "Settings",
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


def as_builtins(value: Any) -> Any:
    """Plain dicts and lists of a value, for JSON."""
    from msgspec import to_builtins

    return to_builtins(value)

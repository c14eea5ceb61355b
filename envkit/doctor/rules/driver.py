"""Database drivers that cannot be imported."""

from __future__ import annotations

import re
import shlex
from typing import Final

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__ = ["DRIVERS"]

#: Import name to what pip installs it by.
DRIVERS: Final = {
    "psycopg": "psycopg[binary]",
    "psycopg_binary": "psycopg[binary]",
    "psycopg_c": "psycopg[c]",
    "psycopg_pool": "psycopg-pool",
    "psycopg2": "psycopg2-binary",
    "asyncpg": "asyncpg",
    "pg8000": "pg8000",
    "aiopg": "aiopg",
    "redis": "redis",
    "aioredis": "redis",  # it became redis.asyncio
    "coredis": "coredis",
    "valkey": "valkey",
    "glide": "valkey-glide",
    "hiredis": "hiredis",
    "clickhouse_connect": "clickhouse-connect",
    "clickhouse_driver": "clickhouse-driver",
    "clickhouse_sqlalchemy": "clickhouse-sqlalchemy",
    "aiochclient": "aiochclient",
    "asynch": "asynch",
    "chdb": "chdb",
    "aiosqlite": "aiosqlite",
    "pymysql": "pymysql",
    "MySQLdb": "mysqlclient",
    "aiomysql": "aiomysql",
    "asyncmy": "asyncmy",
    "mysql": "mysql-connector-python",
    "pyodbc": "pyodbc",
    "pymssql": "pymssql",
    "oracledb": "oracledb",
    "cx_Oracle": "oracledb",
    "pymongo": "pymongo",
    "motor": "motor",
    "cassandra": "cassandra-driver",
    "neo4j": "neo4j",
    "elasticsearch": "elasticsearch",
}
# SQLAlchemy's name of a dialect to the driver that brings or needs it.
_DIALECTS: Final = {
    "clickhouse": "clickhouse-sqlalchemy",
    "clickhousedb": "clickhouse-connect",
    "postgresql.psycopg": "psycopg[binary]",
    "postgresql.asyncpg": "asyncpg",
}


@rule(
    "driver.missing",
    source=("host", "python"),
    codes=["NO_DRIVER", "ModuleNotFoundError"],
    texts=[
        r"No module named '?(?P<module>[A-Za-z_]\w*)(?:\.[\w.]+)?'?",
        r"no pq wrapper available",
        r"Can't load plugin: sqlalchemy\.dialects:(?P<dialect>[\w.]+)",
        r"Error loading (?P<django>psycopg2 or psycopg|MySQLdb) module",
        r"ImportError: (?P<library>libpq\.so\.5|Unable to find libpq|libpq library not found)",
        r"(?P<extra>redis|clickhouse.connect|psycopg|asyncpg) (?:is|must be) (?:not )?installed",
    ],
    layer="driver",
    explains=["pytest.conftest.import", "pytest.collect.interrupted", "pytest.select.all-skipped"],
)
def missing(seen: Seen) -> Finding | None:
    """The Python driver of a database is not installed where the tests run.

    Why: An extra was left out, or pip installed into another environment than the one that runs
    pytest.

    Fix: Install it with the Python that runs the tests.
    """
    text = seen.symptom.text
    module, dialect = seen.get("module").partition(".")[0], seen.get("dialect")
    if "couldn't import psycopg '" in text:
        return None  # one of the attempts that "no pq wrapper available" lists
    if (module and module not in DRIVERS) or not (module or seen.match):
        return None
    # "must not be installed", and what only talks about it
    if seen.get("extra") and not re.search(r"is not installed|must be installed", text):
        return None
    if dialect and dialect not in _DIALECTS:
        return None
    if module:
        package, what = DRIVERS[module], module
    elif dialect:
        package, what = _DIALECTS[dialect], f"SQLAlchemy's dialect {dialect}"
    elif seen.get("django") == "MySQLdb":
        package, what = "mysqlclient", "MySQLdb"
    elif seen.get("extra"):
        what = seen.get("extra")
        package = DRIVERS[re.sub(r"\W", "_", what.lower())]
    else:
        package, what = "psycopg[binary]", "libpq for psycopg"
    fix = "install it with the Python that runs the tests"
    if module == "psycopg2":  # which SQLAlchemy before 2.1 takes if the URL says postgresql://
        fix += ", or have SQLAlchemy take psycopg 3: postgresql+psycopg://"
    return seen.finding(
        title=f"{what} is not installed",
        cause="it is not installed in the environment that runs the tests",
        fix=seen.get("hint") or fix,
        command=f"{shlex.quote(seen.get('python', 'python'))} -m pip install '{package}'",
    )

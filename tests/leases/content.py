"""What a lease holds, read back from its servers, to be compared with what its template holds."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import redis

from envkit.model import Endpoint, Lease
from envkit.services.clickhouse_http import Connection
from envkit.services.spec import address_of
from tests.leases.using import postgres, until

__all__ = ["content", "of_clickhouse", "of_postgres", "of_redis"]

# Of each server; what differs between two that are alike.
_OF_ONE_SERVER = frozenset(
    ("requirepass", "port", "dir", "pidfile", "logfile", "unixsocket", "bind-source-addr")
)
_ROWS = (
    "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
    " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
)
_SEQUENCES = (
    "SELECT format('%I.%I', schemaname, sequencename) FROM pg_sequences"
    " WHERE schemaname !~ '^pg_temp'"
)
# Without what names the lease itself.
_ELSE = {
    "relations": "SELECT n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text,"
    " c.reltuples < 0, c.relallvisible FROM pg_class c JOIN pg_namespace n ON"
    " n.oid = relnamespace WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')"
    " AND c.relkind IN ('r', 'S', 'v', 'm', 'p') AND n.nspname <> 'pg_toast'",
    "schemas": "SELECT nspname::text, nspacl::text FROM pg_namespace"
    " WHERE nspname !~ '^pg_(toast_)?temp'",
    "extensions": "SELECT extname::text, extversion::text FROM pg_extension",
    "functions": "SELECT oid::regprocedure::text FROM pg_proc WHERE oid >= 16384",
    "triggers": "SELECT tgname::text, tgrelid::regclass::text, tgenabled::text FROM pg_trigger",
    "types": "SELECT typname::text FROM pg_type WHERE oid >= 16384 AND typrelid = 0"
    " AND typelem = 0",
    "large objects": "SELECT oid::bigint FROM pg_largeobject_metadata",
    "settings": "SELECT name, setting FROM pg_settings WHERE source IN"
    " ('database', 'user', 'database user')",
    "locks": "SELECT classid::bigint, objid::bigint FROM pg_locks WHERE locktype = 'advisory'"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    "sessions": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()",
    "channels": "SELECT pg_listening_channels()",
    "database": "SELECT datallowconn, datistemplate, datconnlimit, datacl::text IS NULL,"
    " shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()",
    "role": "SELECT rolsuper, rolcreatedb, rolcreaterole, rolconnlimit, rolconfig::text"
    " FROM pg_roles WHERE rolname = current_user",
    "roles": "SELECT rolname::text FROM pg_roles WHERE rolname !~ '^(lease|template|export)_'",
}


def content(lease: Lease, digests: tuple[str, ...] = ()) -> dict[str, Any]:
    """All of a lease that its user can see.

    Args:
        lease: Nobody may be using it.
        digests: Of scripts of Redis that may not be known there.
    """
    read = {"postgres": of_postgres, "clickhouse": of_clickhouse}
    found = {
        service: read[service](endpoint)
        for service, endpoint in lease.endpoints.items()
        if service in read
    }
    if "redis" in lease.endpoints:
        own = "redis" in lease.own
        found["redis"] = of_redis(lease.endpoints["redis"], digests, own_server=own)
    return found


def of_postgres(endpoint: Endpoint) -> dict[str, Any]:
    with postgres(endpoint) as connection:
        found: dict[str, Any] = {
            what: _fetched(connection, statement) for what, statement in _ELSE.items()
        }
        for (name,) in _fetched(connection, _ROWS):
            found[f"rows of {name}"] = _fetched(connection, f"SELECT t::text FROM {name} t")
        for (name,) in _fetched(connection, _SEQUENCES):
            found[f"state of {name}"] = _fetched(
                connection, f"SELECT last_value, is_called FROM {name}"
            )
    return found


def _fetched(connection: psycopg.Connection[Any], statement: str) -> list[tuple[Any, ...]]:
    return sorted(connection.execute(statement.encode()).fetchall(), key=repr)


def of_clickhouse(endpoint: Endpoint) -> dict[str, Any]:
    with Connection(address_of(endpoint), 60) as connection:

        def ask(statement: str) -> str:
            return connection.query(statement, database=endpoint.database)

        found: dict[str, Any] = {}
        names = ask("SELECT name FROM system.tables WHERE database = currentDatabase()").split()
        for name in sorted(names):
            shown = name
            made = ask(f"SHOW CREATE TABLE `{name}` FORMAT TSVRaw")
            if name.startswith(".inner"):
                shown = ".inner"
            made = re.sub(r"UUID '[^']*'", "", made).replace(endpoint.database, "DATABASE")
            found[f"table {shown}"] = made
            if "MATERIALIZED VIEW" not in made:
                found[f"rows of {shown}"] = sorted(ask(f"SELECT * FROM `{name}`").splitlines())
        found["mutations"] = ask(
            "SELECT count() FROM system.mutations WHERE database = currentDatabase()"
        )
    return found


def of_redis(
    endpoint: Endpoint, digests: tuple[str, ...] = (), *, own_server: bool = True
) -> dict[str, Any]:
    with redis.Redis.from_url(endpoint.url) as client:
        found: dict[str, Any] = {
            "keys": {key: client.dump(key) for key in client.scan_iter()},
            "size": client.dbsize(),
        }
        if own_server:
            found |= {
                "keyspace": client.info("keyspace"),
                "functions": client.function_list(),
                "scripts": any(client.script_exists(*digests)) if digests else False,
                "configuration": {
                    name: value
                    for name, value in client.config_get("*").items()
                    if name not in _OF_ONE_SERVER
                },
                "users": [re.sub(r"#[0-9a-f]{64}", "", rule) for rule in client.acl_list()],
                # Whoever had it may come again, and is sent away; nobody can stay.
                "alone": until(lambda: len(client.client_list()) == 1, 2),
                "channels": client.pubsub_channels(),
                # A busy machine makes any command slow, ours too.
                "slow": [e for e in client.slowlog_get(100) if b"tag-" in e["command"]],
            }
    return found

"""Postgres: databases, rights and tables, as statements meet them."""

from __future__ import annotations

import re

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding
from envkit.doctor.psql import identifier, literal, place_of, sql
from envkit.doctor.tables import why_missing

__all__: list[str] = []


@rule(
    "pg.db.exists",
    source="postgres",
    codes=["42P04"],
    texts=[
        r"(?:(?<!\w)ERROR: {1,2}|createdb: [^\n]*|'M': ')"
        r"database \"(?P<name>[^\"]*)\" already exists"
    ],
    layer="server",
)
def database_exists(seen: Seen) -> Finding:
    """A database of this name is there already.

    Why: A former run was killed before it cleaned up, or two workers use the same name.

    Fix: Drop it, or use a name for each run and worker.
    """
    found = re.search(r'database "([^"]*)" already exists', seen.symptom.text)
    name = found[1] if found else ""
    return seen.finding(
        title=f"database {name} is there already" if name else "the database is there already",
        cause="left over from a run that was killed, or made by another worker at the same time",
        fix=f"drop it (dropdb {name or 'NAME'}), or use another name for each run and worker",
    )


@rule(
    "pg.priv.denied",
    source=("postgres", "host"),
    codes=["42501", "PG_NO_CREATEDB"],
    texts=[
        r"permission denied to create (?P<what>database|role|extension)",
        r"permission denied for (?P<kind>schema|table|database|relation|sequence|function|language)"
        r" \"?(?P<name>[^\s\"']+)",
        r"(?<!HINT:  )must be (?P<owner>owner|superuser|member) (?:of|to)\b",
    ],
    layer="server",
)
def denied(seen: Seen) -> Finding:
    """The role may not do this.

    Why: Roles of tests are made without rights; since 15 nobody but the owner may create in the
    schema public of a database.

    Fix: Grant it, as a superuser.
    """
    place, text = place_of(seen), seen.symptom.text
    role = place.user
    what = re.search(r"permission denied to create (\w+)", text)
    making = seen.symptom.code == "PG_NO_CREATEDB" or (what and what[1] == "database")
    if making:
        statement = f"ALTER ROLE {identifier(role or 'NAME')} CREATEDB"
        if not role:  # perhaps of a lease, where a test runner wants to make a database of its own
            return seen.finding(
                title="the role may not create databases",
                cause="it was made without CREATEDB, as roles of envkit's leases are",
                fix="have the test runner take the database that is there (pytest-django does "
                "with export_env = true and settings that lead there), or allow it: superuser = "
                f"true in [tool.envkit.postgres]; on a server of your own {statement}",
            )
        return seen.finding(
            title=f"role {role} may not create databases".replace("role  ", "the role "),
            cause="it was made without CREATEDB, and each test gets a database of its own",
            fix=f"as a superuser: {statement}",
            command=sql(place, statement, user="postgres") if role else "",
        )
    if what and what[1] == "extension":
        return seen.finding(
            title="the role may not create this extension",
            cause="the extension is not marked as trusted, so that takes a superuser",
            fix="create it in template1 or in the template database as a superuser, or use "
            "superuser = true",
        )
    if what and what[1] == "role":
        statement = f"ALTER ROLE {identifier(role or 'NAME')} CREATEROLE"
        return seen.finding(
            title=f"role {role} may not create roles".replace("role  ", "the role "),
            cause="it was made without CREATEROLE",
            fix=f"as a superuser: {statement}",
            command=sql(place, statement, user="postgres") if role else "",
        )
    kind, name = seen.get("kind"), seen.get("name")
    return seen.finding(
        title=f"no rights on {kind} {name}" if kind else "the role has no right to do this",
        cause="since Postgres 15 only the owner may create in the schema public"
        if name == "public"
        else "it belongs to another role, such as the one that ran the migrations",
        fix=f"let the owner do it, or: GRANT ALL ON {kind.upper()} {name} TO the role"
        if kind
        else "let the owner do it, or grant the right",
    )


_OTHERS = r"is being accessed by other users"


def _terminate(seen: Seen, name: str) -> str:
    statement = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "  # noqa: S608 - shown, quoted
        f"WHERE datname = {literal(name)} AND pid <> pg_backend_pid()"
    )
    return sql(place_of(seen), statement) if name else ""


@rule(
    "pg.template.in-use",
    source="postgres",
    codes=["55006"],
    texts=[rf"source database \"(?P<name>[^\"]*)\" {_OTHERS}"],
    layer="server",
)
def template_in_use(seen: Seen) -> Finding | None:
    """A database cannot be copied while somebody is connected to it.

    Why: A pool, a psql or a background worker (TimescaleDB's, pg_cron's) is connected to the
    template.

    Fix: Connect to the database postgres instead, and end the sessions in the template.
    """
    if seen.match is None and seen.get("routine") != "createdb":
        return None
    name = seen.get("name")
    return seen.finding(
        title=f"somebody is connected to the template database {name}".rstrip(),
        cause="CREATE DATABASE ... TEMPLATE needs the template for itself; a pool, an editor or a "
        "background worker is connected to it",
        fix="end those sessions, and let nothing but the migration connect there",
        command=_terminate(seen, name),
    )


@rule(
    "pg.db.in-use",
    source="postgres",
    codes=["55006"],
    texts=[
        rf"(?<!source )database \"(?P<name>[^\"]*)\" {_OTHERS}",
        r"cannot drop the currently open database",
        r"current database cannot be renamed",
    ],
    layer="server",
)
def database_in_use(seen: Seen) -> Finding | None:
    """A database cannot be dropped or renamed while somebody is connected to it.

    Why: A test or a pool left a session open.

    Fix: Close it, or DROP DATABASE ... WITH (FORCE).
    """
    if seen.match is None and seen.get("routine") not in ("dropdb", "RenameDatabase", "movedb"):
        return None
    name = seen.get("name")
    if seen.match is not None and not name:
        return seen.finding(
            title="a session tries to drop the database that it is connected to",
            cause="no session can do that to its own database",
            fix="connect to the database postgres for that",
        )
    return seen.finding(
        title=f"somebody is still connected to database {name}".rstrip(),
        cause="a test, a pool or a worker has not closed its session",
        fix="close it (engine.dispose(), pool.close()), or DROP DATABASE ... WITH (FORCE)",
        command=_terminate(seen, name),
    )


@rule(
    "pg.lock.timeout",
    source="postgres",
    codes=["55P03"],
    texts=[
        r"canceling statement due to lock timeout",
        r"could not obtain lock on (?:relation|row in relation|database|the relation) ?\"?",
    ],
    layer="server",
)
def lock_timeout(seen: Seen) -> Finding:
    """A lock was not to be had in time.

    Why: Another session holds it: workers migrate the same database at once, or a test left its
    transaction open.

    Fix: Migrate once, before the workers start; end transactions.
    """
    return seen.finding(
        title="a lock was not to be had in time",
        cause="another session holds it: a migration that runs twice at once, or a transaction "
        "that a test left open",
        fix="migrate once and copy the result for each worker; see who holds it with "
        "pg_blocking_pids()",
    )


@rule(
    "pg.schema.table-missing",
    source="postgres",
    codes=["42P01", "3F000"],
    texts=[
        r"(?:ERROR:  |\) |: |'M': ')(?:relation|table|view) \"(?P<table>[^\"]*)\" does not exist",
        r"(?:ERROR:  |\) |'M': ')schema \"(?P<schema>[^\"]*)\" does not exist",
    ],
    confidence="likely",
    layer="server",
)
def table_missing(seen: Seen) -> Finding | None:
    """A table that the program expects is not there.

    Why: The migrations did not run in this database, ran in another schema, or the test is
    connected to another database than it thinks. The databases of tests have tables only if the
    configuration says how they are made.

    Fix: Name the command that makes them, such as ``migrate = "alembic upgrade head"`` in
    ``[tool.envkit.postgres]``: it runs once, and every test gets a copy. If it is named, see
    whether it makes this table.
    """
    text = seen.symptom.text
    if "FROM-clause entry" in text:
        return None  # the same code, and a mistake in the statement
    found = re.search(r'(?P<kind>relation|table|view|schema) "(?P<name>[^"]*)" does not', text)
    kind = "schema" if found and found["kind"] == "schema" else "table"
    cause, fix = why_missing(seen.facts, "postgres")
    return seen.finding(
        title=f"there is no {kind} {found['name'] if found else ''}".rstrip(),
        cause=f"{cause}, or search_path or the database is another one",
        fix=fix,
    )


@rule(
    "app.schema-drift",
    source="postgres",
    codes=["42703"],
    texts=[
        r"(?<!\w)ERROR: {1,2}column (?:\"[^\"]*\"|\S+) (?:of relation \"[^\"]*\" )?does not exist"
    ],
    severity="info",
    confidence="likely",
    layer="server",
)
def schema_drift(seen: Seen) -> Finding:
    """A statement names a column that its table does not have.

    Why: This is your code: model and migrations disagree, or the name is misspelt. The environment
    is as it should be.

    Fix: Write the missing migration, or correct the statement.
    """
    found = re.search(r"column (\S+)(?: of relation (\S+))? does not exist", seen.symptom.text)
    what = f"column {found[1]}" if found else "a column"
    return seen.finding(
        title=f"{what} does not exist: this is your code, not the environment",
        cause="the table is there and has no such column: a migration is missing, or the name is "
        "misspelt",
        fix="write the migration, or correct the statement",
    )


@rule(
    "pg.extension.missing",
    source="postgres",
    codes=["0A000", "58P01"],
    texts=[
        r"extension \"(?P<name>[^\"]*)\" is not available",
        # Before 15, and libraries of shared_preload_libraries
        r"could not open extension control file \"[^\"]*?(?P<name2>[^/\\\"]+)\.control\"",
        r"could not access file \"(?:\$libdir/)?(?P<name3>[^\"]+)\": No such file",
    ],
    layer="server",
)
def extension_missing(seen: Seen) -> Finding | None:
    """The server does not have this extension.

    Why: Extensions are part of the server's installation; plain images and wheels have those of
    PostgreSQL itself only.

    Fix: Use a server or an image that has it, such as postgis/postgis or pgvector/pgvector.
    """
    name = seen.get("name") or seen.get("name2") or seen.get("name3")
    if not name:
        return None
    images = {"postgis": "postgis/postgis", "vector": "pgvector/pgvector"}
    image = images.get(name, "")
    return seen.finding(
        title=f"this Postgres does not have the extension {name}",
        cause="extensions are installed beside the server, and this one's has it not",
        fix=f"use an image that has it{f', such as {image}' if image else ''}, or install its "
        "package on the server's machine",
    )


@rule(
    "pg.role.readonly",
    source=("postgres", "host"),
    codes=["25006", "PG_IN_RECOVERY", "PG_READ_ONLY"],
    texts=[
        r"cannot execute (?P<what>[\w ]+?) in a read-only transaction",
        r"cannot execute (?P<what2>[\w ]+?) during recovery",
        r"session is read-only|server is in hot standby mode",  # libpq: target_session_attrs
    ],
    layer="server",
)
def readonly(seen: Seen) -> Finding:
    """The server, or the session, only reads.

    Why: It is a replica that follows another server; or default_transaction_read_only is on.

    Fix: Use the primary server.
    """
    replica = seen.symptom.code == "PG_IN_RECOVERY" or "recovery" in seen.symptom.text
    what = seen.get("what") or seen.get("what2")
    return seen.finding(
        title=f"Postgres only reads here{f': {what} was refused' if what else ''}",
        cause="it is a replica (in recovery), which follows another server"
        if replica
        else "default_transaction_read_only is on for this role, database or server"
        if seen.symptom.code == "PG_READ_ONLY"
        else "it is a replica, or default_transaction_read_only is on",
        fix=f"name the primary server in {seen.target.origin or 'the URL'}"
        if replica
        else "name the primary server, or switch default_transaction_read_only off",
    )

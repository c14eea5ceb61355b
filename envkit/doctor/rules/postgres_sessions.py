"""Postgres: states of the server, and sessions that do not begin or that end."""

from __future__ import annotations

import re

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding
from envkit.doctor.psql import place_of

__all__: list[str] = []


@rule(
    "pg.conn.too-many",
    source=("postgres", "host"),
    codes=["53300", "PG_SLOTS_LOW"],
    texts=[
        r"sorry, too many clients already",
        r"remaining connection slots are reserved for",
        r"too many connections for (?P<what>role|database) \"(?P<name>[^\"]*)\"",
        r"no more connections allowed \(max_client_conn\)",  # PgBouncer
    ],
    layer="server",
)
def too_many(seen: Seen) -> Finding | None:
    """All connections that the server allows are taken.

    Why: Each xdist worker has a pool of its own, or tests leave connections open. pg_isready still
    says that all is well.

    Fix: Fewer workers or smaller pools, close connections, or raise max_connections.
    """
    if "max_wal_senders" in seen.symptom.text:
        return None
    if seen.symptom.code == "PG_SLOTS_LOW":
        return seen.finding(
            title=f"Postgres has {seen.get('used')} of its {seen.get('limit')} connections in use",
            cause="pools of several workers, or connections that nobody closes",
            fix="see who has them in pg_stat_activity; lower -n or the pools' sizes, or raise "
            "max_connections",
            severity="warning",
        )
    what, name = seen.get("what"), seen.get("name")
    if what:
        return seen.finding(
            title=f"{what} {name} has all the connections that it may have",
            cause=f"the {what} was given a CONNECTION LIMIT",
            fix=f'close connections, or as a superuser: ALTER {what.upper()} "{name}" '
            "CONNECTION LIMIT -1",
        )
    return seen.finding(
        title="Postgres has no connection left",
        cause="workers times pool size is more than max_connections (100 unless changed), or tests "
        "leave connections open",
        fix="lower -n or the pools' sizes, close connections, or start the server with "
        "-c max_connections=500",
    )


@rule(
    "pg.conn.pool-exhausted",
    source="python",
    codes=["PoolTimeout"],
    texts=[
        # SQLAlchemy: lib/sqlalchemy/pool/impl.py; psycopg_pool: pool.py
        r"QueuePool limit of size (?P<size>\d+) overflow -?\d+ reached",
        r"PoolTimeout: couldn't get a connection after",
        r"couldn't get a connection after (?P<seconds>[\d.]+) sec",
    ],
    severity="warning",
    confidence="likely",
    layer="driver",
)
def pool_exhausted(seen: Seen) -> Finding:
    """The program's own pool has no connection left; the server was not asked.

    Why: Something takes connections and does not give them back, or more run at once than the pool
    was made for.

    Fix: Close sessions in fixtures, or make the pool larger.
    """
    return seen.finding(
        title="a connection pool is exhausted",
        cause="connections are taken and not given back, such as by a fixture without close; this "
        "is not the server's limit",
        fix="give connections back (with ... as session), or raise the pool's size",
    )


@rule(
    "pg.conn.shared",
    source="postgres",
    texts=[
        r"cannot perform operation: another operation is in progress",  # asyncpg
        r"sending (?:query|prepared query|query and params) failed: another command is already",
        r"\banother command is already in progress",  # libpq
        r"This session is provisioning a new connection; concurrent operations are not permitted",
        r"Method '[\w()]+' can't be called here; method '[\w()]+' is already in progress",
    ],
    layer="driver",
)
def shared(seen: Seen) -> Finding:
    """Two tasks use one connection at the same time.

    Why: A connection speaks with one at a time; a fixture hands the same one to tasks that run
    side by side, or a query was not awaited.

    Fix: A connection, or a session, for each task; await every query.
    """
    return seen.finding(
        title="two tasks use one Postgres connection at the same time",
        cause="a connection serves one query at a time, and a fixture shares it between tasks; or "
        "a query was not awaited",
        fix="take a connection (or session) from a pool in each task",
    )


def _at(seen: Seen) -> str:
    where = place_of(seen).words
    return f" at {where}" if where else ""


@rule(
    "pg.state.starting",
    source="postgres",
    codes=["57P03"],
    texts=[
        r"the database system is starting up",
        r"the database system is in recovery mode",
        r"the database system is not (?:yet )?accepting connections",
    ],
    layer="server",
)
def starting(seen: Seen) -> Finding | None:
    """The server is there and not ready yet.

    Why: It replays its log after a crash or a hard stop, or it has just been started and what
    waits for it only looks at its port.

    Fix: Wait until SELECT 1 works over TCP, and not only until the port is open.
    """
    text = seen.symptom.text
    if "shutting down" in text:
        return None
    if "recovery mode" in text:
        cause = "one of its processes has crashed or was killed, and it starts all of them anew"
    elif "Hot standby mode is disabled" in text:
        return seen.finding(
            title=f"Postgres{_at(seen)} is a standby that lets nobody in",
            cause="it follows another server, and hot_standby is off",
            fix="use its primary, or set hot_standby = on",
        )
    else:
        cause = "it has just been started, or replays its log after a hard stop"
    known = seen.match is not None
    return seen.finding(
        title=f"Postgres{_at(seen)} is " + ("still starting" if known else "not ready"),
        cause=cause,
        fix="wait until SELECT 1 works over TCP; an open port or pg_isready on the socket is too "
        "early",
        confidence="certain" if known else "likely",
    )


@rule(
    "pg.state.shutting-down",
    source="postgres",
    codes=["57P03"],
    texts=[r"the database system is shutting down"],
    layer="server",
)
def shutting_down(seen: Seen) -> Finding | None:
    """The server is on its way down.

    Why: Somebody stops it; or the image's entrypoint ends the server that ran the init scripts
    before it starts the real one.

    Fix: Wait; if it does not come back, start it and see who stopped it.
    """
    if seen.match is None:
        return None
    return seen.finding(
        title=f"Postgres{_at(seen)} is shutting down",
        cause="somebody stops it and it waits for its sessions; or a container has run its init "
        "scripts and starts over",
        fix="wait, and start it if it does not come back",
    )


@rule(
    "pg.state.init-race",
    source="postgres",
    texts=[
        # While connecting only; later on these words are no evidence for anything.
        r"connection to server at \"(?P<host>[^\"]+)\"[^\n]*, port (?P<port>\d+) failed: "
        r"server closed the connection unexpectedly",
    ],
    confidence="likely",
    layer="driver",
)
def init_race(seen: Seen) -> Finding:
    """The port is open, and the connection is closed before Postgres says a word.

    Why: Docker's proxy, or a tunnel, accepts for a server that is not there yet: while a container
    runs its init scripts, its Postgres listens on its socket only.

    Fix: Wait for SELECT 1 over TCP, from where the tests run.
    """
    return seen.finding(
        title=f"something{_at(seen)} accepts and hangs up before Postgres says a word",
        cause="Docker's proxy or a tunnel accepts for a server that does not listen yet, or that "
        "has died behind it",
        fix="wait until SELECT 1 works over TCP from here (pg_isready inside the container sees "
        "the socket of the init server); if it lasts, read the container's log",
    )


@rule(
    "pg.state.killed",
    source="postgres",
    codes=["57P01", "57P02"],
    texts=[
        r"terminating connection due to administrator command",
        r"terminating connection because of crash of another server process",
        r"terminating connection due to unexpected postmaster exit",
        # Server's log; "server process" until 17
        r"LOG:  [\w ]{3,40} \(PID (?P<pid>\d+)\) was terminated by "
        r"(?:signal (?P<signal>\d+)|exception 0x\w+)",
    ],
    layer="server",
)
def killed(seen: Seen) -> Finding:
    """The server ended the session while it was in use.

    Why: It was stopped or restarted, somebody called pg_terminate_backend or DROP DATABASE with
    FORCE, or one of its processes crashed or was killed for lack of memory, which ends all.

    Fix: Read the server's log of that moment; "signal 9" is mostly the kernel's memory killer.
    """
    crash = "crash of another" in seen.symptom.text or seen.symptom.code == "57P02"
    number = seen.get("signal")
    if number or crash:
        how = f" by signal {number}" if number else ""
        return seen.finding(
            title=f"a process of Postgres was killed{how}, and all sessions with it",
            cause="signal 9 is mostly the kernel's or the container's memory limit; any other is a "
            "crash of the server or of an extension",
            fix="see 'dmesg' and the server's log; give it more memory, or run fewer tests at once",
        )
    return seen.finding(
        title="Postgres ended a session that was in use",
        cause="the server was stopped or restarted, or somebody ended the session "
        "(pg_terminate_backend, DROP DATABASE ... WITH (FORCE))",
        fix="see in the server's log who did; a test must not outlive its database",
    )


_REVERSED = (
    r"received invalid response to (?:SSL|GSSAPI) negotiation: (?P<got>\S)",
    r"expected authentication request from server, but received (?P<got2>\S)",
)


@rule(
    "pg.protocol.garbage",
    source="postgres",
    texts=[
        r"LOG:  invalid length of startup packet",
        r"unsupported frontend protocol (?P<version>\d+\.\d+): server supports",
        r"FATAL:  invalid frontend message type \d+",
        *_REVERSED,
    ],
    severity="warning",
    layer="server",
)
def garbage(seen: Seen) -> Finding:
    """One side speaks Postgres, and the other one something else.

    Why: A port is confused: a browser, an HTTP health check, a Redis or ClickHouse client that
    leads to Postgres, or a Postgres client that leads elsewhere.

    Fix: Correct the port.
    """
    if seen.match is not None and any(re.search(one, seen.match[0]) for one in _REVERSED):
        return seen.finding(
            title=f"what answers{_at(seen)} is not Postgres",
            cause="the port belongs to another server",
            fix=f"correct the port in {seen.target.origin or 'the URL'}",
            severity="error",
        )
    return seen.finding(
        title="somebody speaks to Postgres who does not know its language",
        cause="a client of HTTP, Redis or ClickHouse, or a health check, uses Postgres' port",
        fix="correct the port of that client; 'host' with log_connections = on says which it is",
    )

"""Redis and Valkey: whom they let in, and what somebody may do there."""

from __future__ import annotations

from envkit.doctor.commands import place, redis_cli
from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []


@rule(
    "redis.auth.required",
    source="redis",
    codes=["NOAUTH"],
    texts=[
        r"\bNOAUTH (?:Authentication required|HELLO must be called)",
        r"(?:redis|valkey)\S*\.AuthenticationError: Authentication required",
        r"HELLO must be called with the client already authenticated",
        # before Redis 6
        r"(?:^-?|\(error\) )ERR operation not permitted$",
    ],
    layer="server",
)
def password_required(seen: Seen) -> Finding:
    """Redis wants a password, and none was given.

    Why: The URL has no password, or the variable that should hold it is empty or not set here.

    Fix: Put the password into the URL: redis://:PASSWORD@HOST:PORT/0.
    """
    where = place(seen)
    return seen.finding(
        title=f"Redis{f' at {where}' if where else ''} wants a password, and none was given",
        cause="the URL has no password, or the variable with the password is empty",
        fix=f"put the password into {seen.target.origin or 'the URL'}: "
        "redis://:PASSWORD@HOST:PORT/0",
    )


@rule(
    "redis.auth.wrong",
    source="redis",
    codes=["WRONGPASS"],
    texts=[
        r"WRONGPASS invalid username-password pair",
        r"invalid username-password pair(?: or user is disabled)?",
        r"(?:redis|valkey)\S*\.AuthenticationError: invalid password",
        r"(?:^-?|\(error\) )ERR invalid password$",
        # a user's name for a server older than 6, which has no users
        r"wrong number of arguments for 'auth' command",
    ],
    layer="server",
)
def password_wrong(seen: Seen) -> Finding:
    """Redis refuses the user or the password.

    Why: One of them is wrong, the user is disabled, or the password came with a newline or quotes
    from a file. A server before version 6 has no users at all.

    Fix: Correct user and password in the URL; percent-encode what is special there.
    """
    where = place(seen)
    who = f" for {seen.target.user!r}" if seen.target.user else ""
    return seen.finding(
        title=f"Redis{f' at {where}' if where else ''} refuses the password{who}",
        cause="the user or the password is wrong, or the password has a newline or quotes from "
        "where it was read",
        fix=f"correct user and password in {seen.target.origin or 'the URL'}, percent-encoded",
    )


@rule(
    "redis.auth.unexpected",
    source="redis",
    texts=[
        r"AUTH <password> called without any password configured",
        r"Client sent AUTH, but no password is set",
    ],
    layer="server",
)
def password_unexpected(seen: Seen) -> Finding:
    """A password was given, and this Redis has none.

    Why: It is another server than was meant, or one that was started without its configuration.

    Fix: Leave the password out of the URL, or start the server with it.
    """
    return seen.finding(
        title="a password was given to a Redis that has none",
        cause="another server than was meant, or one started without its configuration",
        fix=f"leave the password out of {seen.target.origin or 'the URL'}, or start the server "
        "with --requirepass",
    )


@rule(
    "redis.acl.denied",
    source="redis",
    codes=["NOPERM"],
    texts=[
        r"\bNOPERM\b[^\n]*permission",
        r"has no permissions to run the '(?P<command>[^']+)' command",
        r"this user has no permissions to (?:run|access)",
        r"NoPermissionError: No permissions to access",
        r"ACL failure in script: ",
        r"The user executing the script can't (?:access at least one of the keys|run this command)",
    ],
    layer="server",
)
def not_permitted(seen: Seen) -> Finding:
    """The user may not run this command, or not with these keys, channels or databases.

    Why: The server's access control list gives this user less than the tests need.

    Fix: As an administrator grant it with ACL SETUSER, or use another user.
    """
    command, user = seen.get("command"), seen.target.user
    if command:
        what, rights = f"run the command {command!r}", f"+{command}"
    elif "access database" in seen.symptom.text:  # Valkey 9.1
        what, rights = "use this database", "alldbs ~* &* +@all"
    else:
        what, rights = "run this command, or not on these keys", "~* &* +@all"
    return seen.finding(
        title=f"the Redis user {user + ' ' if user else ''}may not {what}",
        cause="the server's access control list gives this user less than is needed",
        fix=f"as an administrator: ACL SETUSER {user or 'USER'} {rights}",
    )


@rule(
    "redis.net.protected",
    source="redis",
    codes=["DENIED"],
    texts=[
        r"DENIED (?:\S+ is )?running in protected mode",
        r"running in protected mode because protected mode is enabled",
    ],
    layer="server",
)
def protected(seen: Seen) -> Finding:
    """Redis lets nobody in from outside of its own machine.

    Why: It has no password, and then protected mode refuses all addresses but loopback.

    Fix: For a test server start it with --protected-mode no, else give it a password.
    """
    return seen.finding(
        title=f"Redis is in protected mode and refuses {place(seen) or 'this address'}",
        cause="it has no password, so it takes connections from its own machine only",
        fix="a server for tests: start it with --protected-mode no; any other: --requirepass",
    )


@rule(
    "redis.conn.maxclients",
    source=("redis", "host"),
    codes=["REDIS_CLIENTS"],
    texts=[
        r"max number of clients(?: \+ cluster connections)? reached",
        r"maxclients has been (?:reduced|set) to (?P<reduced>\d+) to compensate for low ulimit",
        r"(?:accept|Accepting client connection): \S*:? ?Too many open files",
    ],
    layer="server",
)
def too_many_clients(seen: Seen) -> Finding:
    """Redis has as many connections as it allows, or nearly.

    Why: Connections leak, every worker has a pool of its own, or a low limit of open files made
    the server reduce maxclients when it started.

    Fix: Close clients, use fewer workers, or raise maxclients and the limit of open files.
    """
    nearly = seen.symptom.source == "host"
    return seen.finding(
        title="Redis has nearly as many connections as it allows"
        if nearly
        else "Redis allows fewer clients than it was asked to"
        if seen.get("reduced")
        else "Redis takes no more connections",
        cause="connections leak, there are too many workers with pools of their own, or the limit "
        "of open files is low",
        fix="close clients, run fewer workers, or raise maxclients and ulimit -n",
        command=redis_cli(seen, "CONFIG", "SET", "maxclients", "10000"),
        severity="warning" if nearly or seen.get("reduced") else None,
    )


@rule(
    "redis.conn.pool",
    source="redis",
    codes=["POOL"],
    texts=[
        r"redis\S*\.(?:MaxConnectionsError|ConnectionError): (?:Too many connections|No connection"
        r" available)",
    ],
    layer="driver",
)
def pool_exhausted(seen: Seen) -> Finding:
    """The client's own pool of connections is used up; the server was not asked.

    Why: max_connections of the pool is small, or connections are not given back.

    Fix: Give connections back (close pub/sub and pipelines), or raise max_connections.
    """
    return seen.finding(
        title="the Redis client's own pool is used up",
        cause="its max_connections is small, or connections are not given back",
        fix="close what holds connections, or raise max_connections of the pool",
    )


@rule(
    "redis.db.missing",
    source=("redis", "host"),
    codes=["REDIS_DB_MISSING"],
    texts=[
        r"\bDB index is out of range",
        r"\binvalid DB index",
        r"SELECT is not allowed in cluster mode",
    ],
    layer="server",
)
def no_such_database(seen: Seen) -> Finding:
    """The server has no database of that number.

    Why: It was started with fewer databases (16 unless set), or is a cluster, which has only 0.

    Fix: Use a smaller number, or start the server with more databases.
    """
    number = seen.get("database")
    return seen.finding(
        title=f"Redis has no database {number}" if number else "Redis has no such database",
        cause="it was started with fewer databases (16 unless set), or is a cluster, which has "
        "only number 0",
        fix=f"use a smaller number in {seen.target.origin or 'the URL'}, or start the server with "
        "--databases 64",
    )


@rule(
    "redis.databases.few",
    source=("redis", "host"),
    codes=["REDIS_DATABASES"],
    layer="server",
)
def too_few_databases(seen: Seen) -> Finding:
    """There is no second database, so there is none for a test.

    Why: A lease on somebody's server is one of its numbered databases, and this server has one:
    it was started so, or is a cluster.

    Fix: Start it with more databases and without cluster mode, or use the backend embedded.
    """
    return seen.finding(
        title="Redis has one database only, so there is none for a test",
        cause="it was started with databases 1, or in cluster mode",
        fix="start it with --databases 256 and without cluster mode, or use the backend embedded",
    )


@rule(
    "redis.protocol.mismatch",
    source=("redis", "host"),
    codes=["REDIS_FOREIGN"],
    texts=[r"Possible SECURITY ATTACK detected\. It looks like somebody is sending POST or Host:"],
    layer="server",
)
def another_protocol(seen: Seen) -> Finding:
    """Two ends that speak different protocols: one is Redis, the other is not.

    Why: The port belongs to something else, or a program that speaks HTTP was given Redis' port.

    Fix: Correct the port.
    """
    found = seen.get("answers")
    where = place(seen)
    if not found:
        return seen.finding(
            title="somebody speaks HTTP to Redis",
            cause="a program that speaks HTTP was given the port of Redis",
            fix="correct the port of that program",
        )
    return seen.finding(
        title=f"what answers at {where} is no Redis but {found}",
        cause="the port belongs to another service",
        fix=f"name the port of Redis, usually 6379, in {seen.target.origin or 'the URL'}",
    )


@rule(
    "redis.tls.mismatch",
    source=("redis", "host"),
    codes=["REDIS_TLS"],
    texts=[
        r"rediss?://[^\n]*WRONG_VERSION_NUMBER",
        r"(?:redis|valkey)\S*\.ConnectionError: [^\n]*\[SSL: (?:WRONG_VERSION_NUMBER|RECORD_LAYER)",
        r"Error accepting a client connection: error:[0-9A-F]+:SSL routines:",
    ],
    layer="server",
)
def tls_differs(seen: Seen) -> Finding:
    """One end speaks TLS, the other does not.

    Why: The URL says rediss:// and the port is a plain one, or redis:// and the port takes TLS
    only.

    Fix: Use rediss:// for a port with TLS, redis:// for a plain one.
    """
    wanted = seen.get("wanted")
    return seen.finding(
        title=f"Redis at {place(seen)} {'speaks TLS' if wanted == 'rediss' else 'has no TLS'}"
        if wanted
        else "one end of a Redis connection speaks TLS, the other does not",
        cause="the scheme of the URL does not fit the port",
        fix=f"begin {seen.target.origin or 'the URL'} with {wanted}://"
        if wanted
        else "rediss:// is for ports with TLS, redis:// for plain ones",
    )

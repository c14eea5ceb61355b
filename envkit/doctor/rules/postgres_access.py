"""Postgres: who is let in, and how."""

from __future__ import annotations

import ipaddress
import re

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding
from envkit.doctor.psql import command, place_of

__all__: list[str] = []

# Of libpq, in front of what the server said; both are translated, but for this frame. The message
# of a server has two blanks after its severity.
_SERVER_SAID = r"connection to server [^\n]*? failed: (?P<severity>[^\s:]+):  (?P<said>[^\n]+)"
# "no encryption" since 14, before it was "SSL off": src/backend/libpq/auth.c
_NO_ENTRY = (
    r"no pg_hba\.conf entry for (?:replication connection from )?host \"(?P<client>[^\"]*)\", "
    r"user \"(?P<user>[^\"]*)\"(?:, database \"(?P<database>[^\"]*)\")?(?:, (?P<how>[\w ]+))?"
)
_REJECTS = _NO_ENTRY.replace(r"no pg_hba\.conf entry", r"pg_hba\.conf rejects(?: connection)?", 1)
_PLAIN = ("no encryption", "SSL off")


def _something_else_is_wrong(seen: Seen) -> bool:
    """Whether another attempt, such as the one with TLS, got further than to pg_hba.conf."""
    attempts = re.findall(r"failed: [^\s:]+:  ([^\n]+)", seen.symptom.text)
    return any("pg_hba.conf" not in said for said in attempts)


def _tls_is_what_lacks(seen: Seen) -> bool:
    """Whether a missing line of pg_hba.conf means that there are lines for TLS only."""
    text = seen.symptom.text
    if "SSL encryption" in text or "SSL on" in text:
        return False  # libpq tried that as well
    if tried := seen.get("tls"):
        return tried == "accepted"
    if (seen.get("how") or "") not in _PLAIN:
        return False
    try:
        # Servers for the public demand it; those of tests that do are rare.
        return ipaddress.ip_address(seen.get("client")).is_global
    except ValueError:
        return False


@rule(
    "pg.auth.password",
    source="postgres",
    codes=["28P01"],
    texts=[
        # The other methods say the same of themselves: src/backend/libpq/auth.c, auth_failed()
        r"(?:password|LDAP|PAM|RADIUS|BSD) authentication failed for user \"(?P<user>[^\"]*)\"",
        r"fe_sendauth: (?P<none>no password supplied)",
        # libpq before 10 said so, too; PgBouncer: src/client.c
        r"FATAL:  (?:password authentication failed|SASL authentication failed)$",
        # Server's log
        r"DETAIL:  (?:Password does not match|User \"(?P<user2>[^\"]*)\" has no password assigned)",
    ],
    layer="server",
)
def password(seen: Seen) -> Finding | None:
    """The password is wrong, or there is no such role.

    Why: Under scram-sha-256 and md5 Postgres gives the same answer for both. A volume keeps the
    password that it was first started with: POSTGRES_PASSWORD changes nothing later.

    Fix: Make the URL agree with the server's password, or start again with an empty volume.
    """
    if re.search(r"DETAIL:  Role \"[^\"]*\" does not exist", seen.symptom.text):
        return None  # the server's log says what the client is not told
    user = seen.get("user") or seen.get("user2")
    origin = seen.target.origin or "the URL"
    if seen.get("none"):
        return seen.finding(
            title="Postgres asks for a password, and none was given",
            cause=f"{origin} has no password, or its variable is empty",
            fix=f"put the password into {origin}, or set PGPASSWORD",
        )
    return seen.finding(
        title=f"Postgres refuses the password of user {user}" if user else "a password is refused",
        cause="the password is wrong, or there is no such role (the answer is the same); a volume "
        "keeps the password of its first start",
        fix=f"make {origin} agree with the server's POSTGRES_PASSWORD; if its volume is older, "
        "'docker compose down -v' starts afresh and deletes its data",
    )


@rule(
    "pg.auth.role-missing",
    source="postgres",
    codes=["28000"],
    texts=[
        r"FATAL: {1,2}role \"(?P<role>[^\"]*)\" does not exist",
        r"role \"(?P<role2>[^\"]*)\" is not permitted to log in",
        r"DETAIL:  Role \"(?P<role3>[^\"]*)\" does not exist",
    ],
    layer="server",
)
def role_missing(seen: Seen) -> Finding | None:
    """There is no role with the name of the user, or it may not log in.

    Why: The server was set up with another POSTGRES_USER, or the URL has no user and the driver
    took the name of the system's user.

    Fix: Correct the user, or create the role.
    """
    found = re.search(r'role "(?P<role>[^"]*)" (?P<what>does not|is not)', seen.symptom.text, re.I)
    place = place_of(seen)
    if found is None and seen.get("routine") != "InitializeSessionUserId":
        return None
    role = found["role"] if found else place.user
    if found and found["what"] == "is not":
        return seen.finding(
            title=f"role {role} may not log in",
            cause="it was created as a group, without LOGIN",
            fix=f'as a superuser: ALTER ROLE "{role}" LOGIN; or use another user',
        )
    return seen.finding(
        title=f"Postgres has no role {role}".rstrip(),
        cause="the server was set up with another POSTGRES_USER, or the URL names no user and the "
        "driver took the name of yours",
        fix=f"correct the user in {seen.target.origin or 'the URL'}, or create the role",
        # Each test gets a database of its own.
        command=command(place, "createuser", "--createdb", role, user="postgres") if role else "",
    )


@rule(
    "pg.auth.hba",
    source="postgres",
    codes=["28000"],
    texts=[
        _NO_ENTRY,
        _REJECTS,
        r"(?:Peer|Ident) authentication failed for user \"(?P<user>[^\"]*)\"",
        r"(?:certificate|trust|GSSAPI|SSPI) authentication failed for user \"(?P<user>[^\"]*)\"",
        r"connection requires a valid client certificate",
    ],
    layer="server",
)
def hba(seen: Seen) -> Finding | None:
    """The server's pg_hba.conf lets nobody in like this.

    Why: No line of it fits address, user, database and encryption, or one that does rejects, or
    asks for something else than a password.

    Fix: Add a line, and make the server read it: SELECT pg_reload_conf().
    """
    text, routine = seen.symptom.text, seen.get("routine")
    if "pg_hba.conf" in text:
        if _tls_is_what_lacks(seen) or _something_else_is_wrong(seen):
            return None
    elif seen.match is None and routine not in ("ClientAuthentication", "auth_failed"):
        return None
    user, database = seen.get("user"), seen.get("database")
    if seen.match is not None and "authentication failed" in seen.match[0]:
        method = seen.match[0].split()[0].lower()
        return seen.finding(
            title=f"Postgres asks for {method} authentication of user {user}",
            cause=f"the line of pg_hba.conf that fits says {method}, which no password can satisfy",
            fix="use 127.0.0.1 instead of the socket, or write scram-sha-256 into that line and "
            "run SELECT pg_reload_conf()",
        )
    who = ", ".join(
        f"{what} {name}"
        for what, name in (
            ("user", user),
            ("database", database),
            ("address", seen.get("client")),
        )
        if name
    )
    # Nobody has tried TLS, which may be what lacks.
    plain = seen.get("how") in _PLAIN and not seen.get("tls") and "SSL enc" not in text
    return seen.finding(
        title=f"pg_hba.conf lets in nobody with {who}" if who else "pg_hba.conf lets in nobody so",
        cause="it has no line for that"
        + (", or only lines that demand TLS (hostssl)" if plain else " or one that rejects"),
        fix=f"add 'host {database or 'all'} {user or 'all'} {_network(seen)} scram-sha-256' to the "
        "server's pg_hba.conf, and run SELECT pg_reload_conf()"
        + ("; or try ?sslmode=require" if plain else ""),
        confidence="likely" if plain else "certain",
    )


def _network(seen: Seen) -> str:
    try:
        return str(ipaddress.ip_network(seen.get("client")))
    except ValueError:
        return "samenet"


@rule(
    "pg.tls.required",
    source="postgres",
    codes=["28000"],
    texts=[
        _NO_ENTRY,
        _REJECTS,
        # Azure; CockroachDB and PgBouncer; Neon
        r"SSL(?:/TLS)? (?:connection )?(?:is )?required\b(?! but)",
        r"connection is insecure \(try using `sslmode=require`\)",
    ],
    layer="server",
)
def tls_required(seen: Seen) -> Finding | None:
    """The server wants TLS, and the client spoke without.

    Why: All lines of its pg_hba.conf that fit say hostssl, or a proxy in front of it insists.

    Fix: Write ?sslmode=require behind the URL.
    """
    text = seen.symptom.text
    if "does not support SSL" in text or ("pg_hba.conf" not in text and seen.match is None):
        return None
    if "pg_hba.conf" in text and (not _tls_is_what_lacks(seen) or _something_else_is_wrong(seen)):
        return None
    return seen.finding(
        title="Postgres lets nobody in without TLS",
        cause="its pg_hba.conf has lines for encrypted connections only (hostssl), and this one "
        "was not encrypted",
        fix=f"write ?sslmode=require behind {seen.target.origin or 'the URL'} (asyncpg: ssl=...)",
        confidence="certain" if seen.get("tls") or "pg_hba.conf" not in text else "likely",
    )


@rule(
    "pg.tls.unsupported",
    source="postgres",
    texts=[
        r"server does not support SSL, but SSL was required",
        r"The server does not support SSL(?: connections|\.)",  # node-postgres, JDBC
        r"PostgreSQL server at \"(?P<at>[^\"]*)\" rejected SSL upgrade",  # asyncpg
        r"\bServer refuses SSL\b",  # pg8000
        r"server refused TLS connection",  # pgx
    ],
    layer="driver",
)
def tls_unsupported(seen: Seen) -> Finding:
    """The client insists on TLS, and the server has none.

    Why: Servers for tests run with ssl = off; the URL was written for one in production.

    Fix: Write ?sslmode=prefer, or leave sslmode out.
    """
    return seen.finding(
        title="TLS is asked for, and the server does not have it",
        cause="servers for tests run without TLS (ssl = off); sslmode is meant for another server",
        fix=f"write ?sslmode=prefer in {seen.target.origin or 'the URL'}, or leave sslmode out",
    )


@rule(
    "pg.tls.certificate",
    source="postgres",
    texts=[
        r"root certificate file \"(?P<file>[^\"]*)\" does not exist",  # libpq, asyncpg
        r"server certificate for \"(?P<name>[^\"]*)\"[^\n]* does not match host name",
        r"connection to server [^\n]* SSL error: (?:certificate verify failed|\w+ alert \w+)",
        r"client certificates can only be checked if a root certificate store is available",
        r"could not (?:load|read) (?:root )?certificate file \"(?P<file2>[^\"]*)\"",
    ],
    layer="driver",
)
def certificate(seen: Seen) -> Finding:
    """One side does not trust the other's certificate.

    Why: sslmode=verify-ca and verify-full need the certificate of who signed the server's; servers
    for tests sign their own.

    Fix: Name it with sslrootcert=FILE, or use sslmode=require, which encrypts and does not verify.
    """
    file = seen.get("file") or seen.get("file2")
    return seen.finding(
        title=f"the certificate file {file} cannot be used" if file else "TLS, but without trust",
        cause="sslmode asks for a certificate that is verified, and what that takes is not here",
        fix="add sslrootcert=FILE to the URL, or use sslmode=require, which does not verify",
    )


@rule(
    "pg.db.missing",
    source="postgres",
    codes=["3D000"],
    texts=[
        r"(?:FATAL|ERROR):  (?P<what>template )?database \"(?P<name>[^\"]*)\" does not exist",
        r"'M': '(?P<what8>template )?database \"(?P<name8>[^\"]*)\" does not exist",
    ],
    layer="server",
)
def database_missing(seen: Seen) -> Finding:
    """There is no database of this name.

    Why: It was not created yet: POSTGRES_DB counts only at the first start of a volume, and a
    server that is being set up is there before its database is.

    Fix: Create it; right after the start, try again.
    """
    found = re.search(
        r'(?P<what>template )?database "(?P<name>[^"]*)" does not exist', seen.symptom.text
    )
    place = place_of(seen)
    name = found["name"] if found else place.database
    which = "template database" if found and found["what"] else "database"
    ours = which == "database" and bool(name) and name == seen.target.database
    also = "create it; envkit doctor --fix does, too" if ours else "create it"
    return seen.finding(
        title=f"Postgres has no {which} {name}".rstrip(),
        cause="nobody has created it: POSTGRES_DB counts only when a volume is first used; or the "
        "server is only just being set up",
        fix=f"{also}; if the server has only just been started, try again first",
        command=command(place, "createdb", name) if name and which == "database" else "",
    )


@rule(
    "pg.conn.rejected",
    source="postgres",
    texts=[_SERVER_SAID],
    confidence="likely",
    layer="driver",
)
def rejected(seen: Seen) -> Finding | None:
    """The server answered and lets nobody in; its words are not known here.

    Why: Its messages are in another language (lc_messages), or it is a relative of Postgres.

    Fix: Read what it says; lc_messages = C in its configuration makes it speak English.
    """
    return seen.finding(
        title=f"Postgres refuses the connection: {seen.get('said').strip()}",
        cause="the server says why, in words that are not known here",
        fix="do what the message asks for; with lc_messages = 'C' the server speaks English",
    )

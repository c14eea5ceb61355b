"""ClickHouse: whom it lets in, what it speaks on which port, and what it does not find.

Codes are those of src/Common/ErrorCodes.cpp in https://github.com/ClickHouse/ClickHouse.
"""

from __future__ import annotations

import re
from typing import Final

from envkit.doctor.commands import place
from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding
from envkit.doctor.tables import why_missing

__all__: list[str] = []

_ABOUT_CLICKHOUSE: Final = re.compile(
    r"clickhouse|\bDB::|\bCode: 210\.|executing HTTP request attempt|query_id=", re.IGNORECASE
)


@rule(
    "ch.auth.failed",
    source="clickhouse",
    codes=["516", "194", "193", "192", "195"],
    texts=[
        r"(?P<user>[^\s:]+): Authentication failed: password is incorrect, or there is no user",
        r"DB::Exception: (?:Wrong password|Password required) for user (?P<named>[^\s.,]+)",
        r"DB::Exception: There is no user `(?P<unknown>[^`]+)` in ",
        r"\. \((?:AUTHENTICATION_FAILED|REQUIRED_PASSWORD|WRONG_PASSWORD|UNKNOWN_USER)\)",
        r"User (?P<barred>\S+) is not allowed to connect from address (?P<address>[\w.:]+)",
    ],
    layer="server",
)
def authentication(seen: Seen) -> Finding:
    """ClickHouse refuses the user or the password.

    Why: One of them is wrong or missing. Images since 25.1.3 let the user default in from outside
    only with a password: https://github.com/ClickHouse/ClickHouse/pull/75259.

    Fix: Give the container CLICKHOUSE_PASSWORD and the URL the same one, or start it with
    CLICKHOUSE_SKIP_USER_SETUP=1.
    """
    user = next(
        filter(None, (seen.get(name) for name in ("user", "named", "unknown", "barred"))),
        seen.target.user,
    )
    where = place(seen)
    if address := seen.get("address"):
        return seen.finding(
            title=f"ClickHouse does not let {user!r} in from {address}",
            cause="the networks that this user may come from do not include that address",
            fix="start the image with CLICKHOUSE_PASSWORD, or add the address to the user's "
            "networks",
        )
    return seen.finding(
        title=f"ClickHouse{f' at {where}' if where else ''} refuses the password"
        + (f" for {user!r}" if user else ""),
        cause="user or password is wrong or missing; images since 25.1.3 let the user default in "
        "from outside only with a password",
        fix="start the image with CLICKHOUSE_PASSWORD (or CLICKHOUSE_SKIP_USER_SETUP=1) and put "
        f"the same password into {seen.target.origin or 'the URL'}",
    )


@rule(
    "ch.access.denied",
    source="clickhouse",
    codes=["497", "291"],
    texts=[
        r"Not enough privileges\. To execute this query,? it's necessary to have",
        r"\. \((?:DATABASE_)?ACCESS_DENIED\)",
    ],
    layer="server",
)
def access(seen: Seen) -> Finding:
    """The ClickHouse user lacks a privilege.

    Why: Its grants do not cover this statement, or the user's configuration allows it no other
    databases.

    Fix: As an administrator GRANT what the message names.
    """
    found = re.search(
        r"to have (?:the )?grant (?P<grant>.+? ON \S+?)(?:\.(?=\s|$)|[\s,]|$)", seen.symptom.text
    )
    grant = seen.get("needed") or (found["grant"] if found else "")
    user = seen.target.user
    return seen.finding(
        title=f"the ClickHouse user {user + ' ' if user else ''}lacks a privilege"
        + (f": {grant}" if grant else ""),
        cause="its grants do not cover this statement",
        fix=f"as an administrator: GRANT {grant} TO {user or 'USER'}"
        if grant
        else "as an administrator grant what the message names",
    )


@rule(
    "ch.db.missing",
    source="clickhouse",
    codes=["81"],
    texts=[
        r"Database `?(?P<database>[^\s`]+?)`? (?:does not|doesn't) exist[^\n]*"
        r"(?:UNKNOWN_DATABASE|e\.what\(\)|$)",
        r"\(UNKNOWN_DATABASE\)",
    ],
    layer="server",
)
def database_missing(seen: Seen) -> Finding | None:
    """ClickHouse has no database of that name.

    Why: Nobody has created it: an image creates only the one that CLICKHOUSE_DB names.

    Fix: CREATE DATABASE, or CLICKHOUSE_DB for the container.
    """
    by_code = seen.symptom.source == "clickhouse"
    if (
        not by_code
        and "DB::" not in seen.symptom.text
        and "UNKNOWN_DATABASE" not in (seen.symptom.text)
    ):
        return None
    name = seen.get("database")
    command = ""
    if name and name == seen.target.database:
        command = "envkit doctor --fix --yes"
    return seen.finding(
        title=f"ClickHouse has no database {name!r}" if name else "ClickHouse has no such database",
        cause="nobody has created it: an image creates only the one that CLICKHOUSE_DB names",
        fix=f"CREATE DATABASE `{name}`" if name else "create it, or correct the name",
        command=command,
    )


@rule(
    "ch.table.missing",
    source="clickhouse",
    codes=["60"],
    texts=[
        r"Unknown table expression identifier '(?P<table>[^']+)'",
        r"DB::Exception: Table (?P<named>[^\s`]+) (?:does not|doesn't) exist",
        r"\(UNKNOWN_TABLE\)",
    ],
    layer="server",
    confidence="likely",
)
def table_missing(seen: Seen) -> Finding:
    """A table is not there.

    Why: The migrations have not run in this database, or they ran in another one. The databases
    of tests have tables only if the configuration says how they are made.

    Fix: Name the files or the command that make them, ``schema`` or ``migrate`` in
    ``[tool.envkit.clickhouse]``; see which database the connection names.
    """
    cause, fix = why_missing(seen.facts, "clickhouse")
    table = seen.get("table") or seen.get("named")
    return seen.finding(
        title=f"ClickHouse has no table {table}" if table else "ClickHouse has no such table",
        cause=cause,
        fix=fix,
    )


@rule(
    "ch.profile.readonly",
    source=("clickhouse", "host"),
    codes=["164", "CH_READONLY"],
    texts=[r"(?<!Table is )in readonly mode", r"\(READONLY\)"],
    layer="server",
)
def readonly(seen: Seen) -> Finding | None:
    """The user's profile, or the way of asking, only reads.

    Why: The profile has readonly = 1 or 2, or the statement came over HTTP with GET, which never
    writes.

    Fix: Use a user whose profile has readonly = 0, and POST for what writes.
    """
    text = seen.symptom.text
    if seen.symptom.source == "log" and not re.search(r"DB::|\(READONLY\)", text):
        return None
    if "method GET implies readonly" in text:
        return seen.finding(
            title="ClickHouse does not write for a GET request",
            cause="over HTTP the method GET implies readonly",
            fix="send what writes with POST",
        )
    return seen.finding(
        title="the ClickHouse user only reads",
        cause="its profile has readonly set, or the connection was made with it",
        fix="use a user whose profile has readonly = 0; also no readonly in "
        f"{seen.target.origin or 'the URL'}",
    )


@rule(
    "ch.port.http-on-native",
    source="clickhouse",
    codes=["217"],
    texts=[
        r"Port (?P<port>\d+) is for clickhouse-client program",
        r"You must use port (?P<http>\d+) for HTTP",
        r"\(CLIENT_HAS_CONNECTED_TO_WRONG_PORT\)",
        r"Client has connected to wrong port",
    ],
    layer="server",
)
def http_on_native(seen: Seen) -> Finding:
    """HTTP was spoken to the port of ClickHouse's native protocol.

    Why: 9000 is for clickhouse-client and clickhouse-driver; clickhouse-connect, curl and JDBC
    speak HTTP, which has a port of its own.

    Fix: Use the HTTP port, 8123 unless changed.
    """
    said = re.search(r"You must use port (\d+) for HTTP", seen.symptom.text)
    right = said[1] if said else "8123"
    port = seen.get("port")
    return seen.finding(
        title=f"HTTP was spoken to ClickHouse's native port{f' {port}' if port else ''}",
        cause="that port is for clickhouse-client and clickhouse-driver",
        fix=f"use the HTTP port {right} in {seen.target.origin or 'the URL'}",
    )


@rule(
    "ch.port.native-on-http",
    source="clickhouse",
    codes=["102"],
    texts=[
        r"Unexpected packet from server (?P<host>[^\s:]+):(?P<port>\d+)[^\n(]*\(expected Hello",
        r"\(UNEXPECTED_PACKET_FROM_SERVER\)",
        r"\[handshake\] unexpected packet \[\d+\] from server",  # clickhouse-go
    ],
    layer="driver",
)
def native_on_http(seen: Seen) -> Finding:
    """ClickHouse's native protocol was spoken to a port that answers otherwise.

    Why: 8123 is for HTTP; clickhouse-client, clickhouse-driver and remote() speak the native
    protocol, which has a port of its own.

    Fix: Use the native port, 9000 unless changed.
    """
    port = seen.get("port")
    return seen.finding(
        title=f"the native protocol was spoken to port {port}"
        if port
        else "the native protocol was spoken to another port than ClickHouse's native one",
        cause="the port is for HTTP, or not ClickHouse's at all",
        fix="native clients use port 9000 unless changed; HTTP clients 8123",
    )


@rule(
    "ch.protocol.mismatch",
    source=("clickhouse", "host"),
    codes=["CH_FOREIGN"],
    texts=[r"Code: 101\. DB::NetException: Unexpected packet from client"],
    layer="server",
)
def another_protocol(seen: Seen) -> Finding:
    """Two ends that speak different protocols: one is ClickHouse, the other is not.

    Why: The port belongs to something else.

    Fix: Correct the port.
    """
    found = seen.get("answers")
    return seen.finding(
        title=f"what answers at {place(seen)} is no ClickHouse but {found}"
        if found
        else "somebody speaks another protocol to ClickHouse",
        cause="the port belongs to another service",
        fix=f"name ClickHouse's HTTP port, usually 8123, in {seen.target.origin or 'the URL'}",
    )


@rule(
    "ch.tls.mismatch",
    source=("clickhouse", "host", "socket"),
    codes=["CH_TLS", "WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"],
    texts=[
        r"\bSSL: (?:WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|HTTP_REQUEST)\b",
        r"SSL routines:[^\n]*:(?:wrong version number|http request)",
        r"DB::NetException: SSL Exception: [^\n]*(?:wrong.version.number|http.request)",
    ],
    layer="driver",
)
def tls_differs(seen: Seen) -> Finding | None:
    """One end speaks TLS, the other does not.

    Why: https or secure=True was used for a plain port (8123, 9000), or a plain scheme for a port
    with TLS (8443, 9440).

    Fix: Use http (secure=False) for a plain port, or the port with TLS.
    """
    measured = seen.symptom.source == "host" or seen.symptom.service == "clickhouse"
    about = measured or _ABOUT_CLICKHOUSE.search(seen.symptom.text)
    if not about:
        return None
    wanted = seen.get("wanted")
    if wanted:
        has = "speaks TLS" if wanted == "https" else "has no TLS"
        return seen.finding(
            title=f"ClickHouse at {place(seen)} {has}",
            cause="the scheme of the URL does not fit the port",
            fix=f"begin {seen.target.origin or 'the URL'} with {wanted}://",
        )
    return seen.finding(
        title="one end of a ClickHouse connection speaks TLS, the other does not",
        cause="https or secure=True is used for a plain port, or the other way round",
        fix="secure=False (http) for ports 8123 and 9000; TLS has 8443 and 9440",
    )


@rule(
    "ch.refused",
    source="clickhouse",
    codes=["210"],
    texts=[
        r"Code: 210\.[^\n]*Connection refused",
        r"DB::NetException: Connection refused \((?P<host>[^\s:]+):(?P<port>\d+)\)",
        r"Connection refused \((?P<host2>[^\s:]+):(?P<port2>\d+)\)\. \(NETWORK_ERROR\)",
    ],
    layer="driver",
)
def refused(seen: Seen) -> Finding | None:
    """ClickHouse's own client, driver or server found nothing that listens.

    Why: The server is not up yet, or listens on another port.

    Fix: Wait until GET /ping on the HTTP port says Ok.
    """
    if "refused" not in seen.symptom.text:  # 210 is any trouble of the network
        return None
    at = re.search(r"refused \(([^()\s]+:\d+)\)", seen.symptom.text)
    return seen.finding(
        title=f"nothing listens at {at[1]}, where ClickHouse was expected"
        if at
        else "nothing listens where ClickHouse was expected",
        cause="the server is not up yet, or it listens on another port",
        fix="wait until GET /ping on the HTTP port says Ok, or correct the port",
    )


@rule(
    "ch.timeout.socket",
    source="clickhouse",
    codes=["209"],
    texts=[
        r"Timeout exceeded while (?:reading from|writing to|receiving data from) (?:socket|server)",
        r"\(SOCKET_TIMEOUT\)",
    ],
    severity="warning",
    confidence="likely",
    layer="driver",
)
def socket_timeout(seen: Seen) -> Finding:
    """A ClickHouse client got no answer in time.

    Why: A native client was pointed at the HTTP port, which waits for the end of a request; or
    the server is overloaded or paused.

    Fix: Native clients use port 9000, HTTP clients 8123.
    """
    at = re.search(r"\((?:peer: )?([^()\s,]+:\d+)", seen.symptom.text)
    return seen.finding(
        title=f"no answer from {at[1]} for a ClickHouse client"
        if at
        else "no answer for a ClickHouse client",
        cause="a native client was pointed at the HTTP port (8123), or the server hangs",
        fix="native clients use port 9000, HTTP clients 8123",
    )

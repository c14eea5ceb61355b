"""Names, addresses and ports: what fails before any server says a word."""

from __future__ import annotations

import re

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding, Severity

__all__: list[str] = []

_UNREACHABLE = ("EHOSTUNREACH", "ENETUNREACH")
_SILENT = ("ETIMEDOUT", *_UNREACHABLE)
_NO_WAY = re.compile("No route to host|is unreachable", re.IGNORECASE)
_PLACE = r"(?:(?:to server )?at \"(?P<host>[^\"]+)\"[^\n]*port (?P<port>\d+))"


def _place(seen: Seen) -> str:
    host, port = seen.get("host"), seen.get("port")
    if host.startswith("/"):
        return host  # a socket's path ends with the port
    return ":".join(part for part in (host, port) if part)


@rule(
    "net.refused",
    source="socket",
    codes=["ECONNREFUSED"],
    texts=[
        rf"{_PLACE} failed: Connection refused",
        # libpq before 14
        r"Connection refused[^\n]*\n\s*Is the server running on host \"(?P<host>[^\"]+)\"[^\n]*\n"
        r"\s*TCP/IP connections on port (?P<port>\d+)",
        r"connection to server on socket \"(?P<host>[^\"]+)\" failed: No such file or directory",
        # redis-py, redis-cli, node, JDBC, Go, urllib3
        r"Error \d+ connecting to (?P<host>\S+):(?P<port>\d+)\.[^\n]* refused",
        r"Could not connect to \w+ at (?P<host>\S+):(?P<port>\d+): Connection refused",
        r"connect ECONNREFUSED (?P<host>\S+):(?P<port>\d+)",
        r"Connection to (?P<host>\S+):(?P<port>\d+) refused\. Check that the hostname",
        r"dial tcp (?P<host>\S+):(?P<port>\d+): connect(?:ex)?: connection refused",
        r"ConnectionPool\(host='(?P<host>[^']+)', port=(?P<port>\d+)\)[^\n]* refused",
        r"Connection refused",
        r"Connect call failed \('(?P<host>[^']+)', (?P<port>\d+)",
        r"actively refused it|refused the network connection",
    ],
    layer="socket",
)
def refused(seen: Seen) -> Finding | None:
    """Nothing listens where a connection was tried.

    Why: The server is not running, listens on another port, or listens on another address: ::1 is
    not 127.0.0.1, and inside a container localhost is the container itself.

    Fix: Start the server, or correct host and port.
    """
    if seen.symptom.code in _SILENT:
        return None  # asyncio says "Connect call failed" of every errno
    where = _place(seen)
    fix = f"start the server, or correct {seen.target.origin or 'host and port'}"
    command, variable = seen.get("start"), seen.get("unset")
    if variable and not command:
        fix, command = f"{fix}; without it envkit starts one of its own", f"unset {variable}"
    return seen.finding(
        title=f"nothing listens at {where}" if where else "a connection was refused",
        cause="the server is not running, or it listens on another address or port",
        fix=fix,
        command=command,
    )


@rule(
    "net.timeout",
    source="socket",
    codes=["TIMEOUT", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"],
    texts=[
        rf"{_PLACE} failed: (?:Connection timed out|timeout expired)",
        r"connection timeout expired",
        r"\[Errno 60\] Operation timed out",  # macOS
        r"dial tcp (?P<host>\S+):(?P<port>\d+): (?:i/o timeout|connect: \w+ timed out)",
        r"connect (?:ETIMEDOUT|EHOSTUNREACH|ENETUNREACH) (?P<host>\S+):(?P<port>\d+)",
        r"ConnectionPool\(host='(?P<host>[^']+)', port=(?P<port>\d+)\): Read timed out",
        r"\bTimeoutError: (?:timed out|Timeout (?:reading from socket|connecting to server))",
        r"No route to host",
        r"Network is unreachable",
        r"\bconnect(?:ion|ing)?(?: attempt)?(?: to \S+)? timed out",
    ],
    confidence="likely",
    layer="socket",
)
def timed_out(seen: Seen) -> Finding:
    """There is no answer at all: neither a yes nor a no.

    Why: A firewall or VPN swallows the packets, the address belongs to another network, or the
    server is stopped or paused while its port is still open.

    Fix: See whether the server answers on its own machine; then check route and firewall.
    """
    where = _place(seen)
    if seen.symptom.code in _UNREACHABLE or (seen.match and _NO_WAY.search(seen.match[0])):
        return seen.finding(
            title=f"there is no way to {where}" if where else "there is no way to a host",
            cause="the address belongs to a network that this machine is not in, such as that of a "
            "VPN which is off or of a container",
            fix=f"correct the address in {seen.target.origin or 'the URL'}, or join its network",
            confidence="certain",
        )
    title = f"no answer from {where}" if where else "there was no answer in time"
    # A probe that gets no answer says so itself: it could not look.
    severity: Severity = "warning" if seen.symptom.check else "error"
    if re.search("accepts connections|takes the connection", seen.symptom.text):
        return seen.finding(
            title=title,
            cause="the server is paused or hangs, or the port belongs to another program",
            fix="see whether this is the right port, and whether the server answers on its own "
            "machine",
            severity=severity,
        )
    return seen.finding(
        title=title,
        cause="packets are swallowed on the way, or the server is paused or hangs",
        fix="see whether the server answers on its own machine; then check route and firewall",
        severity=severity,
    )


@rule(
    "net.dns",
    source="socket",
    codes=["EAI_NONAME", "EAI_AGAIN", "EAI_FAIL", "EAI_NODATA"],
    texts=[
        r"could not translate host name \"(?P<host>[^\"]+)\"",
        r"failed to resolve host '(?P<host>[^']+)'",
        r"Error (?:-[235]|8|11001) connecting to (?P<host>\S+):\d+\. ",
        r"\blookup (?P<host>[\w.-]+)(?: on \S+)?: (?:no such host|i/o timeout|server misbehaving)",
        r"\bUnknownHostException: (?P<host>[\w.-]+)",
        r"\[Errno -[235]\]|\[Errno 11001\]|\[Errno 8\] nodename",
        r"Name or service not known|Temporary failure in name resolution",
        r"nodename nor servname provided|No such host is known|Name does not resolve",
        r"getaddrinfo (?:failed|ENOTFOUND|EAI_AGAIN)(?: (?P<host2>\S+))?",
    ],
    layer="socket",
)
def unknown_name(seen: Seen) -> Finding:
    """A host name means nothing here.

    Why: Names of a compose file's services exist only in its network; elsewhere it is a typing
    error, or the name server cannot be reached.

    Fix: From outside of the compose network use localhost and the published port.
    """
    host = seen.get("host") or seen.get("host2")
    return seen.finding(
        title=f"the host name {host} is not known here" if host else "a host name is not known",
        cause="a name of a compose service used outside of its network, or a typing error",
        fix=f"outside of the compose network use localhost in {seen.target.origin or 'the URL'}",
    )


@rule(
    "net.tls.certificate",
    source="socket",
    codes=["CERTIFICATE_VERIFY_FAILED", "HOSTNAME_MISMATCH"],
    texts=[
        r"\[SSL: CERTIFICATE_VERIFY_FAILED\] certificate verify failed(?:: (?P<why>[^(\n]+))?",
    ],
    layer="socket",
)
def certificate(seen: Seen) -> Finding | None:
    """A server's certificate is not trusted here.

    Why: Servers for tests sign their own certificate, a company's proxy puts its own in the place
    of another, or the certificate is for another name or has run out.

    Fix: Name the authority that signed it in the URL (ssl_ca_certs for Redis, ca_cert for
    ClickHouse, sslrootcert for Postgres), or use the name that stands in the certificate.
    """
    where = _place(seen)
    if "not yet valid" in seen.symptom.text:
        return None  # that is the clock
    parameter = {"redis": "?ssl_ca_certs=FILE", "clickhouse": "?ca_cert=FILE"}.get(
        seen.service or "", "the authority"
    )
    why = seen.get("why").strip()
    return seen.finding(
        title=f"the certificate {f'of {where} ' if where else ''}is not trusted"
        + (f": {why}" if why else ""),
        cause="it was signed by an authority that is not known here, or is for another name",
        fix=f"add {parameter} to {seen.target.origin or 'the URL'}, or use the name that stands in "
        "the certificate",
    )

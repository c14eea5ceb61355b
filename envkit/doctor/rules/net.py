"""Names, addresses and ports: what fails before any server says a word."""

from __future__ import annotations

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []

_PLACE = r"(?:(?:to server )?at \"(?P<host>[^\"]+)\"[^\n]*port (?P<port>\d+))"


@rule(
    "net.refused",
    source="socket",
    codes=["ECONNREFUSED"],
    texts=[
        rf"{_PLACE} failed: Connection refused",
        r"Connection refused",
        r"Connect call failed \('(?P<host>[^']+)', (?P<port>\d+)",
        r"actively refused it|refused the network connection",
    ],
    layer="socket",
)
def refused(seen: Seen) -> Finding:
    """Nothing listens where a connection was tried.

    Why: The server is not running, listens on another port, or listens on another address: ::1 is
    not 127.0.0.1, and inside a container localhost is the container itself.

    Fix: Start the server, or correct host and port.
    """
    where = ":".join(part for part in (seen.get("host"), seen.get("port")) if part)
    origin = seen.target.origin
    return seen.finding(
        title=f"nothing listens at {where}" if where else "a connection was refused",
        cause="the server is not running, or it listens on another address or port",
        fix=f"start the server, or correct {origin or 'host and port'}",
    )


@rule(
    "net.timeout",
    source="socket",
    codes=["TIMEOUT", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"],
    texts=[
        r"connection timeout expired",
        r"\bTimeoutError: (?:timed out|Timeout (?:reading from socket|connecting to server))",
        r"No route to host",
        r"Network is unreachable",
        r"(?:connect|connection)[^\n]{0,40} timed out",
    ],
    severity="warning",
    confidence="likely",
    layer="socket",
)
def timed_out(seen: Seen) -> Finding:
    """There is no answer at all: neither a yes nor a no.

    Why: A firewall or VPN swallows the packets, the address belongs to another network, or the
    server is stopped or paused while its port is still open.

    Fix: See whether the server answers on its own machine; then check route and firewall.
    """
    where = ":".join(part for part in (seen.get("host"), seen.get("port")) if part)
    title = f"no answer from {where}" if where else "there was no answer in time"
    if "accepts connections" in seen.symptom.text:
        return seen.finding(
            title=title,
            cause="the server is paused or hangs, or the port belongs to another program",
            fix="see whether this is the right port, and whether the server answers on its own "
            "machine",
        )
    return seen.finding(
        title=title,
        cause="packets are swallowed on the way, or the server is paused or hangs",
        fix="see whether the server answers on its own machine; then check route and firewall",
    )


@rule(
    "net.dns",
    source="socket",
    codes=["EAI_NONAME", "EAI_AGAIN", "EAI_FAIL", "EAI_NODATA"],
    texts=[
        r"could not translate host name \"(?P<host>[^\"]+)\"",
        r"failed to resolve host '(?P<host>[^']+)'",
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

"""Containers: what keeps one from starting, and what ends it.

Wordings of the engine (moby/moby, libnetwork), Docker Desktop, compose, Podman and testcontainers.
"""

from __future__ import annotations

import shlex

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []

_PUBLISHING = (
    r"(?:Ports are not available|userland proxy|from daemon|external connectivity|rootlessport)"
)
_FULL = ("host.disk.full", "pg.disk.full", "ch.disk.full", "redis.persist.", "redis.aof.")
_UNREACHABLE = ("net.refused", "net.timeout", "pg.state.", "ch.refused", "ch.timeout.")


@rule(
    "docker.disk.full",
    source="docker",
    codes=["DISK_FULL", "DISK_LOW"],
    texts=[
        r"(?:Error response from daemon|failed to register layer|failed to solve"
        r"|Error processing tar file|ApplyLayer|failed to (?:extract layer|prepare extraction"
        r"|pull and unpack)|http\+docker://)[^\n]*no space left on device",
        r"/var/lib/(?:docker|containerd|containers)/[^\n]*no space left on device",
        r"disk quota exceeded[^\n]*(?:overlay|containers/storage)",
    ],
    layer="engine",
    explains=[*_UNREACHABLE, "docker.container.exited", "docker.engine.refused", *_FULL],
)
def disk_full(seen: Seen) -> Finding:
    """There is no room where the engine keeps images, containers and volumes.

    Why: Images of old builds, stopped containers, volumes and the build cache take it; on macOS and
    Windows it is the virtual machine's disk that is full, not the machine's.

    Fix: See what takes the room with docker system df, then remove what nobody needs.
    """
    low = seen.symptom.code == "DISK_LOW"
    place = seen.get("place")
    return seen.finding(
        title=f"the engine's disk ({place}) has {seen.get('free')} left"
        if place
        else "the container engine has no room left",
        cause="images, stopped containers, volumes or the build cache take it",
        fix="see what takes it with docker system df, then remove what nobody needs",
        command="docker system prune",
        severity="warning" if low else None,
    )


@rule(
    "docker.port.in-use",
    texts=[
        r"Bind for (?:\S+:)?(?P<port>\d+) failed: port is already allocated",
        # Every program written in Go says the second half.
        rf"{_PUBLISHING}.*listen (?:tcp|udp)[46]? (?:\S*:)?(?P<port2>\d+): bind: address already",
        r"failed to bind host port (?:for )?\S*?:?(?P<port3>\d+)[/:].*address already in use",
        r"Ports are not available: .*?:(?P<port4>\d+).*"
        r"(?:address already in use|Only one usage of each socket address)",
        r"rootlessport (?:listen|cannot expose).*?:?(?P<port5>\d+).*(?:address already in use)",
        rf"{_PUBLISHING}.*Only one usage of each socket address",
    ],
    layer="engine",
    explains=["docker.engine.refused", "docker.container.exited", *_UNREACHABLE],
)
def port_in_use(seen: Seen) -> Finding:
    """A port that a container should publish is taken.

    Why: Another container publishes it, a server of the machine's own listens there (a Postgres of
    the distribution on 5432, a Redis on 6379), or an earlier run was not stopped.

    Fix: Stop the other one, or publish a port that the engine picks ("127.0.0.1::5432").
    """
    port = next(filter(None, (seen.get(f"port{n}") for n in ("", "2", "3", "4", "5"))), "")
    container = "already allocated" in seen.symptom.text
    look = f"docker ps --filter publish={port}" if container else f"lsof -i :{port}"
    return seen.finding(
        title=f"port {port} is in use" if port else "a port to publish is in use",
        cause="another container publishes it"
        if container
        else "a program on this machine listens there, or another container",
        fix=f"see who has it ({look}) and stop it, or publish a port that the engine picks"
        if port
        else "stop whoever has it, or publish a port that the engine picks",
    )


@rule(
    "docker.port.reserved-win",
    texts=[
        rf"{_PUBLISHING}.*?(?::(?P<port>\d+): bind)?: "
        r"An attempt was made to access a socket in a way forbidden by its access permissions",
    ],
    layer="engine",
    explains=["docker.engine.refused", "docker.container.exited", *_UNREACHABLE],
)
def port_reserved(seen: Seen) -> Finding:
    """Windows has reserved the port that a container should publish.

    Why: Hyper-V and WinNAT reserve ranges of ports at every start of the machine; nothing listens
    there, and nobody else may.

    Fix: Stop WinNAT, start the container, start WinNAT again; or publish another port. The
    reserved ranges: netsh int ipv4 show excludedportrange protocol=tcp.
    """
    port = seen.get("port")
    return seen.finding(
        title=f"Windows has reserved port {port}" if port else "Windows has reserved the port",
        cause="it is in a range that Hyper-V or WinNAT took at the start of the machine",
        fix="as administrator stop winnat, start the container and start winnat again; "
        "netsh int ipv4 show excludedportrange protocol=tcp lists the ranges",
        command="net stop winnat",
    )


@rule(
    "docker.net.pool",
    source="docker",
    codes=["POOL_LOW"],
    texts=[
        r"could not find an available, non-overlapping IPv4 address pool",
        r"all predefined address pools have been fully subnetted",
        r"Pool overlaps with other one on this address space",
        r"could not find (?:a )?free subnet from subnet pools",
        r"cannot create network \S+ \(br-\S+\): conflicts with network",
    ],
    layer="engine",
    explains=["docker.engine.refused", "docker.container.exited", *_UNREACHABLE],
)
def pool(seen: Seen) -> Finding:
    """The engine has no address range left for one more network.

    Why: Networks that compose projects and test runs left behind hold all of them (about 30 by
    default), or a VPN's routes cover what is left.

    Fix: Remove networks that nothing uses; with a VPN, switch it off or set default-address-pools.
    """
    if "overlaps" in seen.symptom.text or "conflicts with network" in seen.symptom.text:
        return seen.finding(
            title="the subnet asked for is another network's",
            cause="a network with the same or an overlapping subnet is left from before",
            fix="remove networks that nothing uses, or ask for another subnet",
            command="docker network prune --force",
        )
    used = seen.get("used")
    return seen.finding(
        title=f"{used} of the engine's {seen.get('pools')} address ranges are taken"
        if used
        else "the engine has no address range for another network",
        cause="networks that earlier runs left behind hold them, or a VPN's routes cover them",
        fix="remove networks that nothing uses",
        command="docker network prune --force",
        severity="warning" if used else None,
    )


@rule(
    "docker.name.conflict",
    texts=[
        r"container name \"/?(?P<name>[^\"]+)\" is already in use",
        r"creating container storage: the container name \"(?P<name2>[^\"]+)\" is already in use",
        r"409 Client Error[^\n]*/containers/create\?name=(?P<name3>[\w.-]+)",
    ],
    layer="engine",
    explains=["docker.engine.refused", *_UNREACHABLE],
)
def name_conflict(seen: Seen) -> Finding:
    """There is a container of that name already.

    Why: An earlier run was not cleaned up, or two runs use one name at the same time.

    Fix: Remove the old one, or let the engine pick a name.
    """
    name = seen.get("name") or seen.get("name2") or seen.get("name3")
    return seen.finding(
        title=f"a container {name} exists already",
        cause="an earlier run left it, or another run uses the same name now",
        fix="remove it if nobody uses it, or let the engine pick the name",
        command=f"docker rm -f {shlex.quote(name)}",
    )


@rule(
    "docker.container.oom",
    texts=[
        r"\"OOMKilled\": ?true|\breason: ?\"?OOMKilled\b",
        r"exited with code 137\b|Exited \(137\)|exited \(137\)",
        r"container (?P<name>\S+) .*killed for memory|OOM command not allowed when .*container",
    ],
    confidence="likely",
    layer="engine",
    explains=["docker.container.exited", "docker.container.unhealthy", *_UNREACHABLE],
)
def oom(seen: Seen) -> Finding | None:
    """The kernel killed a container's server because it used more memory than it may.

    Why: The container's limit, or the memory of Docker's virtual machine, is too small for what
    the server keeps. Exit code 137 alone is any SIGKILL, docker kill included.

    Fix: Give the container more memory (memory in the service's table), or the server less to keep.
    """
    sure = "OOMKilled" in seen.symptom.text
    return seen.finding(
        title="a container was killed for memory" if sure else "a container was killed (137)",
        cause="it used more memory than its limit or the engine's machine has",
        fix="raise memory in the service's table, or that of Docker's virtual machine",
        confidence="certain" if sure else "likely",
    )


@rule(
    "docker.container.exited",
    texts=[
        r"(?:dependency failed to start: )?container (?P<name>\S+) exited \((?P<code>\d+)\)",
        r"service \"(?P<name2>[^\"]+)\" didn't complete successfully: exit (?P<code2>\d+)",
        r"\bContainer (?P<name3>\S+) (?:is not running|exited unexpectedly)",
        # An application's container may end as it likes: tests do.
        r"^(?P<name5>\S*(?:postgres|pg|redis|valkey|clickhouse|\bdb)\S*) exited with code "
        r"(?P<code3>(?!(?:0|13[07]|143)\b)\d+)$",
        r"OCI runtime create failed: .*unable to start container process",
        r"Container startup failed for image (?P<name4>\S+)",
    ],
    layer="engine",
    explains=[*_UNREACHABLE, "docker.engine.refused"],
)
def exited(seen: Seen) -> Finding | None:
    """A container's program ended before it could be used.

    Why: Its own log says: most often a setting that it needs is missing (POSTGRES_PASSWORD), a
    volume holds data of another version, or the command is wrong.

    Fix: Read the end of its log: docker logs NAME.
    """
    code = seen.get("code") or seen.get("code2") or seen.get("code3")
    if code in ("0", "137") or "exec format error" in seen.symptom.text:
        return None
    name = next(filter(None, (seen.get(f"name{n}") for n in ("", "2", "3", "4", "5"))), "")
    return seen.finding(
        title=f"the container {name or ''} ended at once".replace("  ", " ")
        + (f" with exit code {code}" if code else ""),
        cause="its own log says why",
        fix="read the end of its log",
        command=f"docker logs --tail 50 {shlex.quote(name)}" if name and seen.get("name") else "",
    )


@rule(
    "docker.container.unhealthy",
    texts=[
        r"container (?P<name>\S+) is unhealthy",
        r"container for service \"(?P<name2>[^\"]+)\" is unhealthy",
        r"Service container (?P<name2>\S+) failed\.",
        r"Failed to initialize container (?P<name3>\S+)",
    ],
    layer="engine",
    explains=[*_UNREACHABLE],
)
def unhealthy(seen: Seen) -> Finding:
    """A container's health check failed until nobody waited any longer.

    Why: The server in it does not come up, or the check itself is wrong: a command that the image
    does not have, another user or port.

    Fix: Look at the container's log and at what the check said.
    """
    name = seen.get("name") or seen.get("name2") or seen.get("name3")
    return seen.finding(
        title=f"the container {name} did not become healthy",
        cause="its server does not come up, or the health check is wrong",
        fix="look at its log, and at what the check said",
        command=f"docker inspect --format '{{{{json .State.Health}}}}' {shlex.quote(name)}"
        if seen.get("name")
        else "",
    )


@rule(
    "docker.container.paused",
    source="docker",
    codes=["PAUSED"],
    texts=[r"Container (?P<name>\S+) is paused\b", r"cannot \w+ a paused container (?P<name2>\S+)"],
    layer="engine",
    explains=[*_UNREACHABLE, "envkit.", "redis.", "docker.engine.refused"],
)
def paused(seen: Seen) -> Finding:
    """A container is paused: its port is open, and nobody answers.

    Why: docker pause, or Docker Desktop's resource saver, or a test that did not undo it.

    Fix: Let it go on.
    """
    name = seen.get("name") or seen.get("name2")
    return seen.finding(
        title=f"the container {name} is paused",
        cause="somebody paused it; connections to it are accepted, and never answered",
        fix="let it go on",
        command=f"docker unpause {shlex.quote(name)}",
    )


@rule(
    "docker.ryuk.unreachable",
    texts=[
        r"(?:can ?not|could not|failed to) connect to (?:the )?(?:Ryuk|reaper)\b",
        r"Connecting to Ryuk on \S+ failed|connecting to reaper failed",
        r"Ryuk \(\S*\) did not start",
        r"\breaper: dial (?:reaper|tcp)\b",
        r"in _?create_instance\n(?:[^\S\n][^\n]*\n|\n)*"
        r"[^\n]*(?:refused|timed out|did not emit logs)",
    ],
    layer="driver",
    explains=["net.refused", "net.timeout", "docker.name.conflict", "docker.engine.refused"],
)
def ryuk(seen: Seen) -> Finding:
    """Testcontainers cannot reach Ryuk, the container that cleans up after it.

    Why: The tests run in a container or network from which the published port cannot be reached,
    or the engine is rootless or remote, so that its address is guessed wrongly.

    Fix: Name the engine's host in TESTCONTAINERS_HOST_OVERRIDE, or do without Ryuk:
    TESTCONTAINERS_RYUK_DISABLED=true. envkit itself cleans up without it.
    """
    return seen.finding(
        title="testcontainers' Ryuk cannot be reached",
        cause="the published port cannot be reached from where the tests run, or the engine is "
        "rootless or remote",
        fix="set TESTCONTAINERS_HOST_OVERRIDE to the engine's host, or do without Ryuk",
        command="export TESTCONTAINERS_RYUK_DISABLED=true",
    )

"""Redis and Valkey in cluster mode."""

from __future__ import annotations

from envkit.doctor.commands import redis_cli
from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []


@rule(
    "redis.cluster.moved",
    source=("redis", "host"),
    codes=["MOVED", "ASK", "REDIS_CLUSTER"],
    texts=[
        r"\b(?:MOVED|ASK) \d{1,5} (?P<node>[^\s:]*:\d+)",
        r"\b(?:MovedError|AskError): \d{1,5} (?P<other>\S+:\d+)",
    ],
    layer="server",
)
def moved(seen: Seen) -> Finding:
    """A key belongs to another node of the cluster than the one that was asked.

    Why: The server is a node of a cluster, and the client is not one for clusters.

    Fix: Use the driver's client for clusters (redis.RedisCluster), or a single server for tests.
    """
    node = seen.get("node") or seen.get("other")
    return seen.finding(
        title=f"Redis is a cluster, and the key is at {node}"
        if node
        else "Redis is a cluster of several nodes",
        cause="the client is not one for clusters, which follow MOVED to the right node",
        fix="use redis.RedisCluster, or a single server without cluster mode for tests",
    )


@rule(
    "redis.cluster.crossslot",
    source="redis",
    codes=["CROSSSLOT"],
    texts=[
        r"Keys in request don't hash to the same slot",
        r"All keys must map to the same (?:key )?slot",
    ],
    layer="server",
)
def crossslot(seen: Seen) -> Finding:
    """One command names keys of different slots of the cluster.

    Why: A command with several keys works in a cluster only if they share a hash slot.

    Fix: Give the keys a common hash tag, such as {user1}:name and {user1}:mail.
    """
    return seen.finding(
        title="keys of one command lie in different slots of the cluster",
        cause="a command with several keys works in a cluster only if they share a slot",
        fix="give them a common hash tag: {user1}:name and {user1}:mail",
    )


@rule(
    "redis.cluster.down",
    source="redis",
    codes=["CLUSTERDOWN"],
    texts=[
        r"\bCLUSTERDOWN\b (?:The cluster is down|Hash slot not served)",
        r"ClusterDownError: (?:The cluster is down|Hash slot not served)",
        r"All slots are not covered after query all startup_nodes",
        r"^cluster_state:fail",
    ],
    layer="server",
    explains=["redis.cluster.moved", "redis.databases.few"],
)
def down(seen: Seen) -> Finding:
    """The cluster serves nothing, because not all of its slots have a node.

    Why: The nodes run in cluster mode, but nobody has formed a cluster of them, or nodes are lost.

    Fix: Form it with redis-cli --cluster create, or start the server with --cluster-enabled no.
    """
    return seen.finding(
        title="the Redis cluster is down: not all hash slots are served",
        cause="nobody has formed a cluster of these nodes yet, or nodes are lost",
        fix="give a single node for tests all slots, or start it with --cluster-enabled no; "
        "several nodes: redis-cli --cluster create",
        command=redis_cli(seen, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        if seen.get("slots") == "0"
        else "",
    )


@rule(
    "redis.cluster.disabled",
    source="redis",
    texts=[
        r"Cluster mode is not enabled on this node",
        r"This instance has cluster support disabled",
    ],
    layer="server",
)
def disabled(seen: Seen) -> Finding:
    """A client for clusters talks to a server that is none.

    Why: The application uses a cluster in production, and the server for tests is a single one.

    Fix: Use the plain client where the server is a single one, or start it in cluster mode.
    """
    return seen.finding(
        title="a cluster client met a Redis without cluster mode",
        cause="the application wants a cluster, and this server is a single one",
        fix="use redis.Redis here, or start the server with --cluster-enabled yes and form a "
        "cluster",
    )

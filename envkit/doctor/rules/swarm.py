"""Services on a swarm of engines; wordings of moby/swarmkit (scheduler, dispatcher)."""

from __future__ import annotations

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []


@rule(
    "swarm.no-node",
    texts=[
        r"no suitable node \((?P<why>[^)]+)\)",
        r"no suitable node\s*$",
        r"Unable to find a node that satisfies the following conditions",
        r"no resources available to schedule container",
    ],
    layer="engine",
)
def no_node(seen: Seen) -> Finding:
    """No node of the swarm may or can run the service.

    Why: No node satisfies the placement constraints, has the memory and CPUs that are reserved, or
    is made for the image's architecture.

    Fix: Loosen the constraint, reserve less, or add a node; docker node ls shows the nodes.
    """
    why = seen.get("why")
    return seen.finding(
        title=f"no node can run the service: {why}" if why else "no node can run the service",
        cause=why or "no node satisfies constraints or resources",
        fix="loosen the constraint, reserve less, or add a node",
        command="docker node ls",
    )


@rule(
    "swarm.node.lost",
    texts=[
        r"heartbeat failure for node in",
        r"\"?(?:Status|Message)\"?: ?\"heartbeat failure\"",
        r"Node (?P<node>\S+) change state NodeActive --> NodeFailed",
    ],
    layer="engine",
    explains=["net.refused", "net.timeout", "swarm.no-node"],
)
def node_lost(seen: Seen) -> Finding:
    """A node of the swarm went away while it ran services.

    Why: Its machine or engine stopped, or the network to its manager is interrupted or overloaded.

    Fix: Bring it back or remove it (docker node rm), and run the tests again.
    """
    node = seen.get("node")
    return seen.finding(
        title=f"the swarm lost node {node}" if node else "the swarm lost a node",
        cause="its machine or engine stopped, or the network to it is interrupted",
        fix="bring it back or remove it, run envkit prune, and run the tests again",
        command="docker node ls",
    )


@rule(
    "swarm.not-manager",
    texts=[
        r"This node is not a swarm manager",
        r"This node is not part of a swarm",
        r"The swarm does not have a leader",
    ],
    layer="engine",
    explains=["docker.engine.refused"],
)
def not_manager(seen: Seen) -> Finding:
    """The engine cannot do what only a manager of a swarm can.

    Why: It never joined a swarm, joined it as a worker, or the managers cannot agree on a leader.

    Fix: Make it a swarm of its own, or talk to a manager.
    """
    leaderless = "leader" in seen.symptom.text
    return seen.finding(
        title="the swarm has no leader" if leaderless else "this engine is no manager of a swarm",
        cause="most managers cannot be reached"
        if leaderless
        else "it never joined a swarm, or joined it as a worker",
        fix="bring the managers back" if leaderless else "make a swarm, or talk to a manager",
        command="" if leaderless else "docker swarm init",
    )

from tests.doctor.case import Case, log

CASES = {
    "swarm.no-node": Case(
        fires=(
            log("1/2: no suitable node (scheduling constraints not satisfied on 1 node)"),
            log(
                '"Message": "pending task scheduling", "Err": "no suitable node (insufficient '
                'resources on 7 nodes; 1 node not ready)"'
            ),
            log("no suitable node (unsupported platform on 1 node)"),
        ),
        silent=(log("no suitable Node.js version"), log("0/3 nodes are available")),
    ),
    "swarm.node.lost": Case(
        fires=(
            log('"Message": "heartbeat failure for node in \\"unknown\\" state"'),
            log('            "Message": "heartbeat failure",'),
            log(
                'level=info msg="Node e7b284330420/10.0.0.9 change state NodeActive --> NodeFailed"'
            ),
        ),
        silent=(log("the heartbeat of the worker failed"), log("ClusterError: node is down")),
    ),
    "swarm.not-manager": Case(
        fires=(
            log(
                'Error response from daemon: This node is not a swarm manager. Use "docker swarm '
                'init" or "docker swarm join" to connect this node to swarm and try again.'
            ),
            log("Error response from daemon: rpc error: The swarm does not have a leader."),
        ),
        silent=(log("this node is not a manager of the cluster"),),
    ),
}

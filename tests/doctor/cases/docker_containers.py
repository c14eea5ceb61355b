from tests.doctor.case import Case, log, told

_DAEMON = "docker: Error response from daemon: "
_ENDPOINT = "driver failed programming external connectivity on endpoint web (41be3550): "

CASES = {
    "docker.disk.full": Case(
        fires=(
            log(
                _DAEMON + "failed to register layer: Error processing tar file(exit status 1): "
                "write /usr/lib/x: no space left on device"
            ),
            log(
                "docker.errors.APIError: 500 Server Error for http+docker://localhost/v1.41/"
                'containers/create: Internal Server Error ("mkdir /var/lib/docker/overlay2/x: no '
                'space left on device")'
            ),
            log(
                "ERROR: failed to solve: failed to prepare extraction snapshot: mkdir "
                "/var/lib/containerd/x: no space left on device"
            ),
            log("the container engine has no room left [docker.disk.full]"),
            told("docker", "DISK_FULL", "full", data={"place": "/var/lib/docker", "free": "0 MiB"}),
            told("docker", "DISK_LOW", "low", data={"place": "/var/lib/docker", "free": "9 MiB"}),
        ),
        silent=(
            log("OSError: [Errno 28] No space left on device: '/tmp/x'"),
            log("failed to create file: write /data/x: no space left on device"),
            log('ERROR:  could not extend file "base/16384/1": No space left on device'),
        ),
    ),
    "docker.port.in-use": Case(
        fires=(
            log(_DAEMON + _ENDPOINT + "Bind for 127.0.0.1:33659 failed: port is already allocated"),
            log(
                _DAEMON + _ENDPOINT + "Error starting userland proxy: listen tcp4 127.0.0.1:33659: "
                "bind: address already in use"
            ),
            log(
                "Error response from daemon: Ports are not available: exposing port TCP "
                "0.0.0.0:5432 -> 0.0.0.0:0: listen tcp 0.0.0.0:5432: bind: address already in use"
            ),
            log(
                "Error response from daemon: Ports are not available: exposing port TCP "
                "0.0.0.0:5432 -> 127.0.0.1:0: listen tcp 0.0.0.0:5432: bind: Only one usage of "
                "each socket address (protocol/network address/port) is normally permitted."
            ),
            log(
                "Error response from daemon: failed to set up container networking: "
                + _ENDPOINT
                + "failed to bind host port for 0.0.0.0:5432:172.17.0.2:5432/tcp: address already "
                "in use"
            ),
            log("Error: rootlessport listen tcp 0.0.0.0:5432: bind: address already in use"),
        ),
        silent=(
            log("OSError: [Errno 98] Address already in use"),
            log('LOG:  could not bind IPv4 address "127.0.0.1": Address already in use'),
            log("the IP is already allocated"),
            log("listen tcp :9090: bind: address already in use"),
        ),
    ),
    "docker.port.reserved-win": Case(
        fires=(
            log(
                "Error response from daemon: Ports are not available: listen tcp 0.0.0.0:5432: "
                "bind: An attempt was made to access a socket in a way forbidden by its access "
                "permissions."
            ),
            log(
                "Error response from daemon: Ports are not available: exposing port TCP "
                "0.0.0.0:50070 -> 0.0.0.0:0: listen tcp 0.0.0.0:50070: bind: An attempt was made "
                "to access a socket in a way forbidden by its access permissions."
            ),
        ),
        silent=(
            log(
                "[WinError 10013] An attempt was made to access a socket in a way forbidden by its "
                "access permissions"
            ),
            log("Ports are not available: listen tcp 0.0.0.0:80: bind: address already in use"),
        ),
    ),
    "docker.net.pool": Case(
        fires=(
            log(
                "Error response from daemon: could not find an available, non-overlapping IPv4 "
                "address pool among the defaults to assign to the network"
            ),
            log(
                "failed to create network app_default: Error response from daemon: all predefined "
                "address pools have been fully subnetted"
            ),
            log("Error response from daemon: Pool overlaps with other one on this address space"),
            log("Error: could not find free subnet from subnet pools"),
            told("docker", "POOL_LOW", "31 of 31", data={"used": "31", "pools": "31"}),
        ),
        silent=(
            log("QueuePool limit of size 5 overflow 10 reached, connection timed out"),
            log("network app_default not found"),
        ),
    ),
    "docker.name.conflict": Case(
        fires=(
            log(
                _DAEMON + 'Conflict. The container name "/dupe" is already in use by container '
                '"edc040a6a4cff". You have to remove (or rename) that container to be able to '
                "reuse that name."
            ),
            log(
                'Error: creating container storage: the container name "dupe" is already in use by '
                "ab12. You have to remove that container to be able to reuse that name"
            ),
            log(
                "requests.exceptions.HTTPError: 409 Client Error: Conflict for url: "
                "http+docker://localhost/v1.41/containers/create?name=testcontainers-ryuk-6810abc7"
            ),
        ),
        silent=(
            log('ERROR:  database "dupe" already exists'),
            log("409 Client Error: Conflict for url: http://localhost:8080/users"),
        ),
    ),
    "docker.container.oom": Case(
        fires=(
            log('        "OOMKilled": true,'),
            log("db-1 exited with code 137"),
            log("ab12  postgres:18  Exited (137) 3 minutes ago  db"),
            log("dependency failed to start: container app-db-1 exited (137)"),
            log("killed for memory [docker.container.oom]"),
            log("    Reason: OOMKilled"),
        ),
        silent=(
            log('        "OOMKilled": false,'),
            log("db-1 exited with code 1"),
            log("OOM command not allowed when used memory > 'maxmemory'."),
            log('    if state["OOMKilled"]:'),
        ),
    ),
    "docker.container.exited": Case(
        fires=(
            log("dependency failed to start: container app-db-1 exited (1)"),
            log('service "migrate" didn\'t complete successfully: exit 2'),
            log(
                _DAEMON + "failed to create shim task: OCI runtime create failed: runc create "
                'failed: unable to start container process: exec: "/nosuch": stat /nosuch: no such '
                "file or directory: unknown"
            ),
            log("it ended [docker.container.exited]\n    initdb: error\n  → docker logs"),
            log("postgres-1 exited with code 1"),
            log("app-clickhouse-1 exited with code 78"),
        ),
        silent=(
            log('service "migrate" didn\'t complete successfully: exit 137'),
            log("container app-db-1 exited (0)"),
            log("the pager container was left"),
            log(
                "OCI runtime create failed: runc create failed: unable to start container process: "
                "exec /program: exec format error: unknown"
            ),
            log("tests-1 exited with code 1"),
            log("postgres-1 exited with code 0"),
            log("clickhouse-1 exited with code 143"),
        ),
    ),
    "docker.container.unhealthy": Case(
        fires=(
            log("dependency failed to start: container app-db-1 is unhealthy"),
            log("##[error]Failed to initialize container postgres:18"),
            log("Service container postgres failed."),
            log('container for service "db" is unhealthy'),
        ),
        silent=(log("that habit is unhealthy"), log("container app-db-1 is healthy")),
    ),
    "docker.container.paused": Case(
        fires=(
            log(
                "Error response from daemon: Container dupe is paused, unpause the container "
                "before exec"
            ),
            told("docker", "PAUSED", "Up 2 minutes (Paused)", data={"name": "db"}),
        ),
        silent=(log("the job is paused"), log("Container app-db-1 is unhealthy")),
    ),
    "docker.ryuk.unreachable": Case(
        fires=(
            log("java.lang.IllegalStateException: Could not connect to Ryuk at localhost:32768"),
            log("WARN  Can not connect to Ryuk at 172.17.0.1:32768"),
            log(
                "failed to connect to reaper: dial tcp [::1]:49485: connect: connection refused: "
                "Connecting to Ryuk on localhost:49485 failed"
            ),
            log("Ryuk (testcontainers/ryuk:0.8.1) did not start: timed out"),
            log("Error: Failed to connect to Reaper"),
            log(
                "/venv/lib/python3.12/site-packages/testcontainers/core/container.py:230: in "
                "_create_instance\n"
                "    Reaper._socket.connect((container_host, container_port))\n"
                "E   ConnectionRefusedError: [Errno 111] Connection refused"
            ),
            log(
                '  File "/venv/lib/python3.12/site-packages/testcontainers/core/container.py", '
                "line 205, in _create_instance\n"
                '    wait_for_logs(Reaper._container, r".* Started!", timeout=20)\n'
                "TimeoutError: container did not emit logs satisfying predicate in 20.000 seconds"
            ),
            log(
                "failed to start reaper: reaper: dial reaper: dial tcp 127.0.0.1:32768: "
                "connect: connection refused"
            ),
        ),
        silent=(log("testcontainers-ryuk-6810abc7 started"), log("connect to the reader failed")),
    ),
}

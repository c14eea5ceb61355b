from tests.doctor.case import Case, log, told

_GET = 'Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.50/containers/json"'
_DOCKER_PY = "docker.errors.DockerException: Error while fetching server API version: "

CASES = {
    "docker.daemon.down": Case(
        fires=(
            log(
                "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. "
                "Is the docker daemon running?"
            ),
            log(
                "docker: Cannot connect to the Docker daemon at tcp://127.0.0.1:1. Is the docker "
                "daemon running?"
            ),
            log(
                'error during connect: Get "http://nohost.invalid:2375/v1.50/containers/json": '
                "dial tcp: lookup nohost.invalid on 10.0.0.53:53: no such host"
            ),
            log(
                "error during connect: This error may indicate that the docker daemon is not "
                'running.: Get "http://%2F%2F.%2Fpipe%2Fdocker_engine/v1.24/containers/json": '
                "open //./pipe/docker_engine: The system cannot find the file specified."
            ),
            log(
                "failed to connect to the docker API at npipe:////./pipe/dockerDesktopLinuxEngine; "
                "check if the path is correct and if the daemon is running: open "
                "//./pipe/dockerDesktopLinuxEngine: The system cannot find the file specified."
            ),
            log(
                f"{_DOCKER_PY}HTTPConnectionPool(host='127.0.0.1', port=1): Max retries exceeded "
                "with url: /version (Caused by NewConnectionError(\"HTTPConnection(host='127.0.0.1'"
                ', port=1): Failed to establish a new connection: [Errno 111] Connection refused"))'
            ),
            log(
                f"{_DOCKER_PY}('Connection aborted.', ConnectionRefusedError(111, "
                "'Connection refused'))"
            ),
            log(f"{_DOCKER_PY}(2, 'CreateFile', 'The system cannot find the file specified.')"),
            log(
                "Cannot connect to Podman. Please verify your connection to the Linux system using "
                "`podman system connection list`, or try `podman machine init`"
            ),
            log(
                "Error: unable to connect to Podman socket: failed to connect: dial tcp "
                "[::1]:64503: connectex: No connection could be made because the target machine "
                "actively refused it."
            ),
            log("java.lang.IllegalStateException: Could not find a valid Docker environment."),
            log(
                "requests.exceptions.ReadTimeout: UnixHTTPConnectionPool(host='localhost', "
                "port=None): Read timed out. (read timeout=60)"
            ),
            log("the container engine hangs [docker.daemon.down]\n  → docker info"),
            told("docker", "DOWN", "unix:///x (DOCKER_HOST): Connection refused"),
            told("docker", "HUNG", "does not answer within 0.8 s", data={"where": "unix:///x"}),
        ),
        silent=(
            log("[Errno 111] Connection refused"),
            log("dial tcp 127.0.0.1:5432: connect: connection refused"),
            log(f"{_DOCKER_PY}('Connection aborted.', PermissionError(13, 'Permission denied'))"),
            log("HTTPConnectionPool(host='localhost', port=8123): Read timed out."),
            log("The daemon is running on port 8080, is it not?"),
        ),
    ),
    "docker.socket.denied": Case(
        fires=(
            log(
                "permission denied while trying to connect to the Docker daemon socket at "
                f"unix:///var/run/docker.sock: {_GET}: dial unix /var/run/docker.sock: connect: "
                "permission denied"
            ),
            log(
                "docker: Got permission denied while trying to connect to the Docker daemon socket "
                "at unix:///var/run/docker.sock: Post ...: dial unix /var/run/docker.sock: "
                "connect: permission denied."
            ),
            log(
                "permission denied while trying to connect to the docker API at "
                "unix:///var/run/docker.sock"
            ),
            log(f"{_DOCKER_PY}('Connection aborted.', PermissionError(13, 'Permission denied'))"),
            log(
                "error during connect: in the default daemon configuration on Windows, the docker "
                "client must be run with elevated privileges to connect: Get "
                '"http://%2F%2F.%2Fpipe%2Fdocker_engine/v1.24/version": open '
                "//./pipe/docker_engine: Access is denied."
            ),
            told("docker", "DENIED", "Permission denied", data={"where": "/var/run/docker.sock"}),
        ),
        silent=(
            log("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"),
            log("PermissionError: [Errno 13] Permission denied: '/data'"),
            log("ERROR:  permission denied for schema public"),
            log("denied: requested access to the resource is denied"),
        ),
    ),
    "docker.socket.missing": Case(
        fires=(
            log(
                f"{_DOCKER_PY}('Connection aborted.', FileNotFoundError(2, "
                "'No such file or directory'))"
            ),
            log("dial unix /Users/ann/.docker/run/docker.sock: connect: no such file or directory"),
            told("docker", "NO_SOCKET", "no such file", data={"other": "unix:///run/d.sock"}),
        ),
        silent=(
            log("FileNotFoundError: [Errno 2] No such file or directory: 'compose.sock.txt'"),
            log("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"),
            log(
                'connection to server on socket "/run/postgresql/.s.PGSQL.5432" failed: '
                "No such file or directory"
            ),
        ),
    ),
    "docker.context.missing": Case(
        fires=(
            log(
                'Failed to initialize: unable to resolve docker endpoint: context "away": context '
                "not found: open /root/.docker/contexts/meta/8e284/meta.json: no such file or "
                "directory"
            ),
        ),
        silent=(log("context deadline exceeded"), log("the build context was not found")),
    ),
    "docker.client.requests-232": Case(
        fires=(
            log("requests.exceptions.InvalidURL: Not supported URL scheme http+docker"),
            log(f"{_DOCKER_PY}Not supported URL scheme http+docker"),
            told("docker", "REQUESTS_232", "docker 7.0.0 and requests 2.32.3"),
        ),
        silent=(
            log("requests.exceptions.InvalidSchema: No connection adapters were found for 'ftp:'"),
        ),
    ),
    "docker.client.api-version": Case(
        fires=(
            log(
                "Error response from daemon: client version 1.32 is too old. Minimum supported "
                "API version is 1.44, please upgrade your client to a newer version"
            ),
            log(
                "Error response from daemon: client version 1.99 is too new. Maximum supported "
                "API version is 1.41"
            ),
        ),
        silent=(log("redis client version 1.3 is too old, minimum is 2.0"),),
    ),
    "docker.cli.missing": Case(
        fires=(
            log("/bin/sh: 1: docker: not found"),
            log("bash: docker: command not found"),
            log("zsh: command not found: docker"),
            log("FileNotFoundError: [Errno 2] No such file or directory: 'docker'"),
            log("The command 'docker' could not be found in this WSL 2 distro."),
            log("'docker' is not recognized as an internal or external command,"),
        ),
        silent=(
            log("No such file or directory: 'docker-entrypoint.sh'"),
            log("bash: docker-compose: command not found"),
            log("No module named 'docker'"),
        ),
    ),
    "docker.credentials.helper-missing": Case(
        fires=(
            log(
                'error getting credentials - err: exec: "docker-credential-desktop": executable '
                "file not found in $PATH, out: ``"
            ),
            log(
                "docker.errors.DockerException: Credentials store error: StoreError("
                "'docker-credential-desktop.exe not installed or not available in PATH')"
            ),
        ),
        silent=(log("docker-credential-helpers 0.6.4 installed"),),
    ),
    "docker.engine.lost": Case(
        fires=(
            log("docker: error waiting for container: unexpected EOF"),
            log('time="2026-11-21T11:07:47Z" level=error msg="error waiting for container: EOF"'),
            log(
                "error during connect: Post "
                '"http://%2Fvar%2Frun%2Fdocker.sock/v1.41/containers/x/wait": EOF'
            ),
            log("it went away [docker.engine.lost]"),
        ),
        silent=(
            log("requests.exceptions.ConnectionError: Remote end closed connection"),
            log("unexpected EOF on client connection with an open transaction"),
        ),
    ),
    "docker.engine.refused": Case(
        fires=(
            log(
                'docker: Error response from daemon: invalid mount config for type "bind": bind '
                "source path does not exist: /nowhere"
            ),
            log("it refused to work with redis:9 [docker.engine.refused]"),
        ),
        silent=(
            log("Error response from daemon: No such container: web"),
            log('Error response from daemon: Conflict. The container name "/a" is already in use'),
            log("the request was refused"),
        ),
    ),
}

"""The container engine itself: whether it is there, lets this user in, and understands its client.

Wordings of the docker command (github.com/docker/cli), the engine (moby/moby), the docker package
(docker-py), Podman, and testcontainers of several languages.
"""

from __future__ import annotations

import shlex

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []

# An engine that is away makes all that needs it fail.
_NEEDS_AN_ENGINE = (
    "docker.build.",
    "docker.container.",
    "docker.disk.full",
    "docker.engine.",
    "docker.image.",
    "docker.name.conflict",
    "docker.net.pool",
    "docker.port.",
    "docker.pull.",
    "docker.ryuk.unreachable",
    # What a service's plan says of it.
    "docker.daemon.down",
    "net.refused",
    "net.timeout",
    "envkit.backend.none",
    "envkit.attach.failed",
    "pg.state.",
    "ch.refused",
)
_START = "start Docker (on Linux: sudo systemctl start docker; else start Docker Desktop)"


@rule(
    "docker.daemon.down",
    source="docker",
    codes=["DOWN", "HUNG"],
    texts=[
        r"Cannot connect to the Docker daemon(?: at (?P<where>\S+?))?\. Is the docker daemon",
        r"failed to connect to the docker API at (?P<where2>\S+?);",
        r"error during connect: .*the docker daemon is not running",
        r"error during connect: .*dial \w+ \S+: (?:connect|connectex): ",
        r"error during connect: .*dial tcp: lookup \S+.*: no such host",
        r"open //\./pipe/docker\w+: The system cannot find the file specified",
        r"Error while fetching server API version: .*"
        r"(?:Connection refused|Max retries exceeded|CreateFile|timed out)",
        r"Cannot connect to Podman\b|unable to connect to Podman socket",
        r"Could not find a valid Docker environment|could not find a working container runtime",
        r"Docker Desktop is not running|Docker Desktop is unable to start",
        r"UnixHTTPConnectionPool\(host='localhost', port=None\): Read timed out",
    ],
    layer="engine",
    explains=_NEEDS_AN_ENGINE,
)
def down(seen: Seen) -> Finding | None:
    """No container engine answers.

    Why: Docker is not started, or the address that DOCKER_HOST or the docker context names leads to
    a machine or socket where no engine listens. One that takes connections and says nothing hangs.

    Fix: Start it, or correct DOCKER_HOST or the context; restart one that hangs.
    """
    if "PermissionError" in seen.symptom.text or "permission denied" in seen.symptom.text.lower():
        return None
    where = seen.get("where") or seen.get("where2")
    at = f" at {where}" if where else ""
    if seen.symptom.code == "HUNG" or "Read timed out" in seen.symptom.text:
        return seen.finding(
            title=f"the container engine{at} does not answer",
            cause="it takes connections and says nothing: it hangs, or is overloaded",
            fix="if docker info hangs, too, restart the engine",
            command=seen.get("restart"),
            severity="warning",
            confidence="likely",
        )
    return seen.finding(
        title=f"no container engine answers{at}",
        cause="the engine is not started, or listens somewhere else",
        fix=seen.get("hint") or _START,
        command=seen.get("start"),
    )


@rule(
    "docker.socket.denied",
    source="docker",
    codes=["DENIED"],
    texts=[
        r"permission denied while trying to connect to the (?:Docker daemon socket|docker API)"
        r"(?: at (?P<where>\S+?))?[:;]?(?:\s|$)",
        r"Error while fetching server API version: .*PermissionError\(13",
        r"dial unix (?P<where2>\S*(?:docker|podman)\S*\.sock): connect: permission denied",
        r"open //\./pipe/docker\w+: Access is denied",
        r"the docker client must be run with elevated privileges",
    ],
    layer="engine",
    explains=("docker.socket.denied", *_NEEDS_AN_ENGINE),
)
def denied(seen: Seen) -> Finding:
    """The engine's socket is there, and not for this user.

    Why: On Linux the socket belongs to the group docker. Who was added to it a moment ago has to
    log in again; sessions, IDEs and CI agents that ran before keep the old groups.

    Fix: Join the group and log in again, or use an engine that runs without root.
    """
    where = seen.get("where") or seen.get("where2")
    return seen.finding(
        title=f"the engine's socket{f' {where}' if where else ''} is closed to this user",
        cause="this user is not in the group that the socket belongs to, or this session began "
        "before it was",
        fix="join the group docker, then log in again",
        command="sudo usermod -aG docker $USER",
    )


@rule(
    "docker.socket.missing",
    source="docker",
    codes=["NO_SOCKET"],
    texts=[
        r"Error while fetching server API version: .*FileNotFoundError\(2",
        r"dial unix (?P<where>\S+\.sock): connect: no such file or directory",
    ],
    layer="engine",
    explains=_NEEDS_AN_ENGINE,
)
def no_socket(seen: Seen) -> Finding | None:
    """There is no socket where a program looks for the engine.

    Why: The engine is not started, or its socket is elsewhere: Docker Desktop, Colima, Podman and
    rootless Docker each have one of their own, which the docker command finds through its context,
    and other programs only through DOCKER_HOST.

    Fix: Start the engine; if the docker command works, set DOCKER_HOST to what its context says.
    """
    if "Cannot connect to the Docker daemon" in seen.symptom.text:
        return None
    where, other = seen.get("where"), seen.get("other")
    return seen.finding(
        title=f"there is no engine's socket at {where}"
        if where
        else "the engine's socket is not there",
        cause=f"an engine listens at {other} instead"
        if other
        else "the engine is not started, or its socket is elsewhere",
        fix="name the socket that is there in DOCKER_HOST"
        if other
        else "start the engine; if the docker command works, its context knows the socket",
        command=f"export DOCKER_HOST={shlex.quote(other)}"
        if other
        else "export DOCKER_HOST=$(docker context inspect --format '{{.Endpoints.docker.Host}}')",
        confidence="certain" if other else "likely",
    )


@rule(
    "docker.context.missing",
    texts=[r"context \"(?P<name>[^\"]+)\": context not found"],
    layer="engine",
    explains=_NEEDS_AN_ENGINE,
)
def no_context(seen: Seen) -> Finding:
    """The docker context that is asked for does not exist.

    Why: DOCKER_CONTEXT or ~/.docker/config.json names a context that was removed, or that was made
    on another machine.

    Fix: Use one that is there: docker context ls.
    """
    return seen.finding(
        title=f"there is no docker context {seen.get('name')}",
        cause="DOCKER_CONTEXT or ~/.docker/config.json names a context that is not on this machine",
        fix="unset DOCKER_CONTEXT, and use a context that docker context ls shows",
        command="docker context use default",
    )


@rule(
    "docker.client.requests-232",
    source="docker",
    codes=["REQUESTS_232"],
    texts=[r"Not supported URL scheme http\+docker"],
    layer="driver",
    explains=_NEEDS_AN_ENGINE,
)
def old_package(seen: Seen) -> Finding:
    """The docker package is too old for the requests package beside it.

    Why: requests 2.32 changed how it finds the adapter for a URL; docker before 7.1 registers its
    own in a way that this no longer sees (https://github.com/docker/docker-py/issues/3256).

    Fix: Upgrade docker to 7.1 or later.
    """
    versions = seen.get("versions")
    return seen.finding(
        title=f"{versions} do not work together"
        if versions
        else "the docker package is too old for its requests package",
        cause="docker before 7.1 does not work with requests 2.32 or later",
        fix="upgrade docker to 7.1 or later",
        command="pip install -U 'docker>=7.1'",
    )


@rule(
    "docker.client.api-version",
    texts=[
        r"client version (?P<client>[\d.]+) is too (?P<how>old|new)\. "
        r"(?:Minimum|Maximum) supported API version is (?P<limit>[\d.]+)",
    ],
    layer="engine",
    explains=["docker.engine.refused"],
)
def api_version(seen: Seen) -> Finding:
    """The engine does not speak the API version that its client insists on.

    Why: A client of a fixed version meets a newer engine that dropped it (Docker 29 begins with
    1.44), or DOCKER_API_VERSION names one that an older engine does not have yet.

    Fix: Upgrade the client, or unset DOCKER_API_VERSION so that both agree on one.
    """
    old = seen.get("how").lower() == "old"
    return seen.finding(
        title=f"the engine does not speak API version {seen.get('client')}",
        cause=f"the client is too {'old' if old else 'new'}: the engine's limit is "
        f"{seen.get('limit')}",
        fix="upgrade the client (the docker package, testcontainers, the docker command)"
        if old
        else "unset DOCKER_API_VERSION, or set it to what the engine has",
        command="" if old else f"export DOCKER_API_VERSION={seen.get('limit')}",
    )


@rule(
    "docker.cli.missing",
    texts=[
        r"\bdocker: (?:command )?not found\b|command not found: docker\b",
        r"No such file or directory: '(?:\S*/)?docker'",
        r"'docker' could not be found in this WSL|'docker' is not recognized as an internal",
        r"exec: \"docker\": executable file not found",
    ],
    layer="tool",
)
def no_command(seen: Seen) -> Finding:
    """The docker command is not installed, or not on PATH.

    Why: The image of a CI job or a WSL distribution does not have it, even where an engine runs.

    Fix: Install it (package docker-ce-cli or docker.io), or switch on WSL integration in Docker
    Desktop's settings.
    """
    return seen.finding(
        title="there is no docker command",
        cause="it is not installed here, or not on PATH",
        fix="install docker's command, or put it on PATH",
    )


@rule(
    "docker.credentials.helper-missing",
    texts=[
        r"(?P<helper>docker-credential-[\w.-]+)[\"'` ]*"
        r"(?:: executable file not found|not installed or not available in PATH|: not found)",
        r"error getting credentials - err: exec: \"(?P<helper2>[^\"]+)\"",
    ],
    layer="engine",
    explains=["docker.pull.denied", "docker.image.missing"],
)
def no_helper(seen: Seen) -> Finding:
    """The program that should give the registry's password is not there.

    Why: ~/.docker/config.json names a helper (credsStore) that belongs to another machine or to
    Docker Desktop, as is common in WSL, dev containers and on CI.

    Fix: Install the helper, or take credsStore out of ~/.docker/config.json.
    """
    helper = seen.get("helper") or seen.get("helper2")
    return seen.finding(
        title=f"the credential helper {helper} is not installed",
        cause="~/.docker/config.json names it as credsStore or in credHelpers",
        fix="install it, or take its line out of ~/.docker/config.json",
    )


@rule(
    "docker.engine.lost",
    texts=[
        r"error waiting for container: (?:unexpected )?EOF",
        r"error during connect: .*: (?:unexpected )?EOF\b",
        r"error during connect: .*(?:connection reset by peer|broken pipe)",
        r"http\+docker://.*Remote end closed connection without response",
    ],
    layer="engine",
    explains=_NEEDS_AN_ENGINE,
)
def lost(seen: Seen) -> Finding:
    """The container engine went away while it was being used.

    Why: It was stopped, updated or killed, or its virtual machine ran out of memory. Containers
    may run on without it, and their ports may have changed when it is back.

    Fix: Start it again, remove what is left, and run the tests again.
    """
    return seen.finding(
        title="the container engine went away in the middle of a call",
        cause="it was stopped, updated or killed, or its virtual machine ran out of memory",
        fix="start it, remove what is left, and run the tests again",
        command="envkit prune",
    )


@rule(
    "docker.engine.refused",
    texts=[
        r"from daemon:(?! *(?:No such container|network \S+ not found))",
        r"Error for http\+docker:(?!//\S+: Not Found)",
    ],
    # What the engine says in words that any other rule knows is that rule's.
    layer="host",
    confidence="guess",
)
def refused(seen: Seen) -> Finding:
    """The container engine refused something, in words that nothing here knows better.

    Why: Its own words say why.

    Fix: Read them; docker info shows how the engine is.
    """
    return seen.finding(
        title="the container engine refused",
        cause="its own words are all that is known",
        fix="read them; docker info shows how the engine is",
    )

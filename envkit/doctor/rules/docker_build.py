"""Building images, and the files that docker compose reads.

Wordings of the classic builder, BuildKit (moby/buildkit), buildah and compose.
"""

from __future__ import annotations

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []

# The message as a whole reads: failed to calculate checksum of ref ID: "/path": not found
_CHECKSUM = r"failed to (?:compute cache key|calculate checksum of ref)"


@rule(
    "docker.build.copy-missing",
    texts=[
        rf"{_CHECKSUM}.*[\"'](?P<path>/?[^\"'\n]+)[\"']:? not found",
        rf"{_CHECKSUM}.*failed to walk \S+: lstat \S*/buildkit-mount\d+/(?P<path2>\S+): no such",
        r"(?:COPY|ADD) failed: file not found in build context.*: stat (?P<path3>\S+): ",
        r"(?:COPY|ADD) failed: stat \S*docker-builder\d+/(?P<path4>\S+): no such file",
        r"(?:COPY|ADD) failed: no source files were specified",
        r"checking on sources under .*: copier: stat: \"(?P<path5>[^\"]+)\": no such file",
    ],
    layer="tool",
)
def copy_missing(seen: Seen) -> Finding:
    """A file that the Dockerfile copies is not in the build context.

    Why: It does not exist, lies outside of the directory that is sent to the engine, or
    .dockerignore leaves it out. Files that a build step should have made count as well.

    Fix: Correct the path, the context directory, or .dockerignore.
    """
    path = next(filter(None, (seen.get(f"path{n}") for n in ("", "2", "3", "4", "5"))), "")
    return seen.finding(
        title=f"{path or 'a file'} is not in the build context",
        cause="it does not exist, lies outside of the context, or .dockerignore leaves it out",
        fix="correct the COPY line, the context directory, or .dockerignore",
    )


@rule(
    "docker.build.checksum-unknown",
    texts=[
        r"failed to calculate checksum of ref",
        r"failed to compute cache key(?!:? failed to solve)",
    ],
    severity="error",
    confidence="guess",
    layer="tool",
)
def checksum_unknown(seen: Seen) -> Finding | None:
    """A build failed while BuildKit read the files to copy, and the reason is cut off.

    Why: Unknown. What follows the colon tells it: a file that is not in the context, a file that
    cannot be read, a full disk. Without it this cannot be attributed to anything.

    Fix: Build again with --progress=plain and look at the end of the message.
    """
    text = seen.symptom.text.lower()
    if "not found" in text or "no such file" in text or "no space left" in text:
        return None
    return seen.finding(
        title="a build failed at a COPY or ADD, and the end of the message is missing",
        cause="unknown: the part of the message that names the reason is cut off, so this cannot "
        "be attributed",
        fix="build again with --progress=plain and look at the end of the message",
        command="docker build --progress=plain .",
    )


@rule(
    "docker.build.dockerfile-missing",
    texts=[
        r"failed to read dockerfile: open (?P<path>[^\s:]+): no such file or directory",
        r"unable to evaluate symlinks in Dockerfile path: lstat (?P<path2>[^\s:]+): no such file",
        r"Cannot locate specified Dockerfile: (?P<path3>\S+)",
        r"no Containerfile or Dockerfile specified or found in context",
    ],
    layer="tool",
)
def no_dockerfile(seen: Seen) -> Finding:
    """There is no Dockerfile where the build looks for one.

    Why: The file was renamed or moved, or the build runs in another directory than it was written
    for.

    Fix: Name the file with -f, and the directory as the last argument.
    """
    path = seen.get("path") or seen.get("path2") or seen.get("path3")
    return seen.finding(
        title=f"there is no {path or 'Dockerfile'}",
        cause="the file was renamed or moved, or the build runs in another directory",
        fix="name the file with -f, and its context as the last argument",
    )


@rule(
    "docker.compose.file-missing",
    texts=[
        r"no configuration file provided: not found",
        r"compose file \"(?P<path>[^\"]+)\" is invalid: open \S+: (?:no such|The system cannot)",
        r"open (?P<path2>(?:[A-Z]:)?[^\s:]*(?:compose|docker)[^\s:]*\.ya?ml): (?:no such file"
        r"|The system cannot find)",
        r"stat (?P<path3>\S*compose\S*\.ya?ml): no such file or directory",
        r"Can't find a suitable configuration file in this directory",
        r"No such file or directory: '(?P<path4>[^']*compose[^']*\.ya?ml)'",
        r"missing files: \['?(?P<path5>[^'\]]*compose[^'\]]*\.ya?ml)",
    ],
    layer="tool",
)
def no_compose_file(seen: Seen) -> Finding:
    """Docker Compose does not find its file.

    Why: It was renamed or moved, or the command runs in another directory.

    Fix: Correct the path after -f (or COMPOSE_FILE), or run it in the directory of the file.
    """
    path = next(filter(None, (seen.get(f"path{n}") for n in ("", "2", "3", "4", "5"))), "")
    return seen.finding(
        title=f"there is no compose file {path}" if path else "there is no compose file here",
        cause="it was renamed or moved, or the command runs in another directory",
        fix="correct the path after -f or in COMPOSE_FILE",
    )


@rule(
    "docker.compose.plugin-missing",
    texts=[
        r"docker: 'compose' is not a docker command",
        r"docker: unknown command: docker compose",
        r"^unknown shorthand flag: 'f' in -f$",  # docker takes compose's -f for its own
        r"\bdocker-compose: (?:command )?not found\b|command not found: docker-compose\b",
        r"No such file or directory: '(?:\S*/)?docker-compose'",
    ],
    layer="tool",
)
def no_plugin(seen: Seen) -> Finding:
    """Docker Compose is not installed.

    Why: It is a plugin of the docker command that distributions package separately; the older
    docker-compose is another program, which newer machines do not have any more.

    Fix: Install docker-compose-plugin (or docker-compose-v2), and call docker compose.
    """
    return seen.finding(
        title="docker compose is not installed",
        cause="the plugin compose is not on this machine, or the older docker-compose was meant",
        fix="install the package docker-compose-plugin (or docker-compose-v2)",
    )

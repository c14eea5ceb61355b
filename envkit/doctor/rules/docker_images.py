"""Images: how they are fetched, and whether they suit the engine's machine.

Wordings of registries (distribution/distribution), the engine, containerd, BuildKit and Podman.
"""

from __future__ import annotations

import re
import shlex
from typing import Final

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []

_NO_IMAGE = (
    *("docker.image.missing", "docker.container.exited", "docker.engine.refused"),
    *("net.refused", "net.timeout"),
)
# Other services have paths with /v2/, too.
_REGISTRY: Final = r"https?://[^\s\"/]+/v2/(?:[^\s\"]+/(?:manifests|blobs)/[^\s\":]+(?::\w+)?)?"
_LIMITED: Final = re.compile(
    r"toomanyrequests|pull rate limit|429 Too Many Requests", re.IGNORECASE
)


@rule(
    "docker.pull.rate-limit",
    texts=[
        r"toomanyrequests: ",
        r"You have reached your (?:unauthenticated )?pull rate limit",
        rf"{_REGISTRY}.{{0,120}}429 Too Many Requests",
    ],
    layer="engine",
    # A client that goes on after it says in the end only that there is no such image.
    explains=["docker.image.tag-unknown", "docker.pull.denied", *_NO_IMAGE],
)
def rate_limit(seen: Seen) -> Finding:
    """The registry gives this address no more images for now.

    Why: Docker Hub counts pulls by address for who is not logged in, and a company's or CI
    service's address is shared by many. What follows may read "No such image".

    Fix: Log in, use a mirror of the registry, or build the images here: envkit images build.
    """
    return seen.finding(
        title="the registry's pull limit is used up",
        cause="pulls without a login are counted by address, which may be shared",
        fix="log in, use a mirror (registry in [tool.envkit.docker]), or run: envkit images build",
        command="docker login",
    )


@rule(
    "docker.pull.denied",
    texts=[
        r"pull access denied for (?P<image>[^\s,]+)",
        r"pull access denied, repository does not exist",
        r"requested access to the resource is denied",
        r"repository (?P<image2>\S+) not found: does not exist or no pull access",
        r"insufficient_scope: authorization failed",
        r"unauthorized: (?:authentication required|incorrect username or password"
        r"|access to the requested resource)",
        r"no basic auth credentials",
        r"(?:from daemon|from registry|denied|manifest|failed)[^\n]*\bname unknown\b"
        r"|repository name not known to registry",
        rf"(?:Head|Get) \"?{_REGISTRY}\": (?:denied|unauthorized)",
        rf"unexpected status (?:code )?{_REGISTRY}.*40[13] (?:Forbidden|Unauthorized)",
        r"failed to fetch (?:anonymous|oauth) token",
    ],
    layer="engine",
    explains=_NO_IMAGE,
)
def pull_denied(seen: Seen) -> Finding | None:
    """The registry does not give the image to this user, or has no such repository.

    Why: It does not say which of the two. An image that was meant to be built here has not been,
    its name has a typing error, or the registry wants a login.

    Fix: Build it if it is your own; else correct the name, or log in.
    """
    if _limited(seen):
        return None
    image = seen.get("image") or seen.get("image2")
    return seen.finding(
        title=f"the registry does not give {image or 'an image'}",
        cause="there is no such repository (an image of your own that is not built yet, a typing "
        "error), or the registry wants a login",
        fix="build the image if it is your own; else correct its name, or docker login",
    )


@rule(
    "docker.image.tag-unknown",
    texts=[
        r"manifest for (?P<image>\S+) not found",
        r"manifest unknown",
        r"reading manifest \S+ in (?P<image2>\S+): manifest unknown",
        r"failed to resolve reference \"(?P<image3>[^\"]+)\": \S+: not found",
        r"ERROR: failed to solve: (?P<image4>[\w./-]+:[\w.-]+): not found",
        r"failed to resolve source metadata for (?P<image5>\S+): \S+: not found",
    ],
    layer="engine",
    explains=_NO_IMAGE,
)
def tag_unknown(seen: Seen) -> Finding:
    """The registry has the repository, and no such tag.

    Why: A version that does not exist or was removed, or a typing error in the tag.

    Fix: Name a tag that exists.
    """
    image = next(filter(None, (seen.get(f"image{n}") for n in ("", "2", "3", "4", "5"))), "")
    return seen.finding(
        title=f"there is no image {image.rstrip(':')}"
        if image
        else "there is no image of that tag",
        cause="that version does not exist (any more), or the tag has a typing error",
        fix="name a tag that exists, in version or image of the service's table",
    )


@rule(
    "docker.image.missing",
    texts=[
        r"No such image: (?P<image>[^\s\")]+)",
        r"(?P<image2>[\w./:-]+): image not known",
        r"docker\.errors\.ImageNotFound: .*",
        rf"(?:Head|Get) \"?{_REGISTRY}\"?: (?:dial tcp|net/http|context deadline|x509|proxyconnect"
        r"|remote error|EOF|read tcp)",
        r"failed to (?:do request|resolve reference)[^\n]*: (?:dial tcp|x509|net/http"
        r"|context deadline)",
        r"pinging container registry \S+: Get .*: (?:dial tcp|x509|net/http)",
    ],
    layer="engine",
    explains=["docker.container.exited", "docker.engine.refused", "net."],
)
def missing(seen: Seen) -> Finding | None:
    """The image is not on the engine, and it may not or cannot be fetched.

    Why: The pull policy is never, or there is no way to the registry: no network, a proxy that the
    engine does not know, a certificate that it does not trust.

    Fix: Fetch it where there is a network (docker pull), or build it here: envkit images build.
    """
    text = seen.symptom.text
    if _limited(seen) or "denied" in text or "manifest unknown" in text:
        return None
    image = seen.get("image") or seen.get("image2")
    unreachable = "/v2/" in text or "failed to do request" in text or "dial tcp" in text
    return seen.finding(
        title="the registry cannot be reached"
        if unreachable
        else f"the image {image} is not on this machine"
        if image
        else "an image is not on this machine",
        cause="there is no network, or a proxy or certificate stands between engine and registry"
        if unreachable
        else "it was not fetched or built yet, and nothing fetched it now",
        fix="see to the engine's network and proxy; without one: envkit images build"
        if unreachable
        else "fetch it, or build it with: envkit images build",
        command=f"docker pull {shlex.quote(image)}" if image and not unreachable else "",
    )


@rule(
    "docker.image.platform",
    texts=[
        r"no matching manifest for (?P<platform>\S+) in the manifest list",
        r"no match for (?:current )?platform",
        r"no image found in (?:image index|manifest list) for architecture (?P<platform2>\S+)",
        r"was found but (?:its platform \([^)]*\) )?does not match the specified platform",
        r"exec \S+: exec format error|exec format error: unknown"
        r"|exec user process caused[^\n]*exec format error",
        r"cannot execute binary file: Exec format error",
        r"image operating system \"\w+\" cannot be used on this platform",
    ],
    layer="engine",
    explains=["docker.container.exited", "docker.engine.refused", "docker.image.missing"],
)
def platform(seen: Seen) -> Finding:
    """The image is for another kind of machine than the engine's.

    Why: It exists for one architecture only (often amd64 on an arm64 machine), or was built on
    another kind of machine.

    Fix: Use an image that is made for both, or run it under emulation with --platform linux/amd64.
    """
    wanted = (seen.get("platform") or seen.get("platform2")).strip('",')
    if "format error" in seen.symptom.text and not wanted:
        return seen.finding(
            title="a program in an image is not for this machine's architecture",
            cause="the image was built for another architecture (or its entrypoint is a script "
            "without a #! line)",
            fix="use an image for this architecture, or --platform linux/amd64 with emulation",
            confidence="likely",
        )
    return seen.finding(
        title=f"the image does not exist for {wanted}"
        if wanted
        else "the image is for another architecture",
        cause="it exists for other architectures only",
        fix="use a tag or image that is made for this one, or --platform linux/amd64",
    )


@rule(
    "docker.image.emulated",
    source="docker",
    codes=["EMULATED"],
    texts=[
        r"requested image's platform \((?P<image>[^)]+)\) does not match the detected host platform"
        r" \((?P<host>[^)]+)\)",
        r"image platform \((?P<image2>[^)]+)\) does not match the expected platform"
        r" \((?P<host2>[^)]+)\)",
    ],
    severity="warning",
    layer="engine",
)
def emulated(seen: Seen) -> Finding:
    """An image runs under emulation.

    Why: It is made for another architecture than the engine's machine. Emulated servers are
    several times slower and sometimes crash or time out.

    Fix: Use a tag that is made for this architecture, too.
    """
    image = seen.get("image") or seen.get("image2")
    return seen.finding(
        title=f"an image for {image} would be emulated on {seen.get('host') or seen.get('host2')}",
        cause="the image is made for another architecture than the engine's machine",
        fix="use a tag or image that is made for both",
    )


@rule("docker.image.failed", layer="engine")
def failed(_: Seen) -> Finding | None:
    """An image could not be put together, or the engine did not take it.

    Why: What it is made of is not on this machine, or the engine runs on another kind of machine.

    Fix: Follow the hint beside it, then: envkit images build.
    """
    return None


def _limited(seen: Seen) -> bool:
    return bool(_LIMITED.search(seen.symptom.text))

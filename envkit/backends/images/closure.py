"""Programs of this machine and the shared libraries they need, as the dynamic loader sees it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from envkit.backends.images.rootfs import Rootfs
from envkit.errors import ImageFailed, ToolMissing

__all__ = ["add_libraries", "add_tools"]

_LIMIT_S = 30.0
_FOUND = re.compile(r"^\s*(\S+) => (/.+) \(0x[0-9a-f]+\)$")
_LOADER = re.compile(r"^\s*(/\S+)(?: => \S+)? \(0x[0-9a-f]+\)$")
_MISSING = re.compile(r"^\s*(\S+) => not found")
# The C library loads these by name when it is asked for users, hosts or the end of a thread.
_LOADED_LATER = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1")
# Where administrators' programs are, which not everybody has in PATH.
_SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
_PACKAGES = {"setpriv": "util-linux", "find": "findutils", "ldd": "libc-bin"}


def add_tools(rootfs: Rootfs, needed: Iterable[str], welcome: Iterable[str]) -> list[Path]:
    """Copy programs of this machine into /usr/bin.

    Args:
        rootfs: Gets them.
        needed: An image does not work without these.
        welcome: Taken along where they are: people's scripts may use them.

    Raises:
        ToolMissing: Names all needed ones that are not here.
    """
    path = f"{os.environ.get('PATH', '')}:{_SYSTEM}"
    taken = []
    absent = []
    for name in (needed := list(needed)) + list(welcome):
        found = shutil.which(name, path=path)
        if found is None:
            if name in needed:
                absent.append(name)
            continue
        source = Path(found).resolve()
        rootfs.copy(source, f"/usr/bin/{name}")
        taken.append(source)
    if absent:
        packages = sorted({_PACKAGES.get(name, name) for name in absent})
        raise ToolMissing(
            f"an image is put together from this machine's programs, and {', '.join(absent)} "
            f"{'are' if len(absent) > 1 else 'is'} not here",
            hint=f"apt-get install {' '.join(packages)}",
        )
    return taken


def add_libraries(rootfs: Rootfs, programs: Iterable[Path], own: tuple[Path, ...] = ()) -> None:
    """Copy the loader and all shared libraries that ``programs`` need.

    Args:
        rootfs: Gets them, at the places where this machine's loader looks.
        programs: Executables and shared objects; scripts are passed over.
        own: Directories whose libraries come along by themselves, with the trees they belong to.

    Raises:
        ImageFailed: A library that a program needs is not on this machine.
        ToolMissing: No ldd.
    """
    libraries, loaders = _needs([str(p) for p in dict.fromkeys(programs) if _is_elf(p)])
    home = next((path.parent for name, path in libraries.items() if name == "libc.so.6"), None)
    # musl is loader and C library in one
    home = home or next((Path(loader).parent for loader in loaders), Path("/lib"))
    for loader in sorted(loaders):
        rootfs.copy(Path(loader), loader, mode=0o755)
    for name, path in sorted(libraries.items()):
        if not any(path.resolve().is_relative_to(tree.resolve()) for tree in own):
            rootfs.copy(path, f"{home}/{name}", mode=0o755)
    for name in _LOADED_LATER:
        later = home / name
        if later.exists() and f"{home}/{name}" not in rootfs:
            rootfs.copy(later, str(later), mode=0o755)


def _needs(programs: list[str]) -> tuple[dict[str, Path], set[str]]:
    ldd = shutil.which("ldd")
    if ldd is None:
        raise ToolMissing(
            "no ldd on PATH, which tells what libraries a program needs",
            hint=f"apt-get install {_PACKAGES['ldd']}",
        )
    try:
        done = subprocess.run(
            [ldd, *programs],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            check=False,  # a statically linked program makes it fail, and needs nothing
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ImageFailed(f"{ldd} failed: {error}") from None
    libraries: dict[str, Path] = {}
    loaders: set[str] = set()
    absent: set[str] = set()
    for line in done.stdout.splitlines():
        if found := _FOUND.match(line):
            libraries.setdefault(found[1], Path(found[2]))
        elif loader := _LOADER.match(line):
            loaders.add(loader[1])
        elif missing := _MISSING.match(line):
            absent.add(missing[1])
    if absent:
        raise ImageFailed(
            f"shared libraries are not on this machine: {', '.join(sorted(absent))}",
            detail=done.stdout,
            hint="pip install --force-reinstall 'envkit-services[embedded]'",
        )
    return libraries, loaders


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"

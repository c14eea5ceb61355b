"""The running Python, without what only developers of Python need, for an image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from envkit.backends.images.rootfs import Rootfs
from envkit.errors import ImageFailed

__all__ = ["HOME", "add_interpreter"]

HOME = f"/usr/local/lib/python{sys.version_info.major}.{sys.version_info.minor}"
_LIMIT_S = 60.0
_WITHOUT = (
    *("__pycache__", "site-packages", "dist-packages", "test", "tests", "config-*", "*.a"),
    *("idlelib", "tkinter", "turtle*", "lib2to3", "ensurepip", "pydoc_data", "distutils", "venv"),
    *("_tkinter*.so", "_test*.so", "_ctypes_test*.so", "xx*.so", "_curses*.so", "_dbm*.so"),
    *("_gdbm*.so", "nis*.so", "ossaudiodev*.so", "readline*.so", "EXTERNALLY-MANAGED"),
)
# Imports what the server imports and compiles it with the paths it has in the image. Without this
# each start would compile all over: the server's user cannot write next to the sources.
_COMPILE = """
import importlib, json, os, py_compile, sys
roots, place, moves, out = json.loads(sys.stdin.read())
sys.path.append(place)
for name in roots:
    importlib.import_module(name)
done = {}
for module in sorted(sys.modules):
    path = getattr(sys.modules[module], "__file__", None) or ""
    for here, there in moves:
        rest = path[len(here):]
        if path == here + rest and rest.endswith(".py") and "-packages/" not in rest:
            target = there + rest
            compiled = os.path.join(out, str(len(done)))
            py_compile.compile(
                path, compiled, dfile=target, doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
            head, tail = os.path.split(target)
            tag = sys.implementation.cache_tag
            done[f"{head}/__pycache__/{tail[:-3]}.{tag}.pyc"] = compiled
            break
print(json.dumps(done))
"""


def add_interpreter(
    rootfs: Rootfs, roots: tuple[str, ...], place: str, moves: tuple[tuple[str, str], ...]
) -> list[Path]:
    """Copy interpreter and standard library to /usr/local.

    Args:
        rootfs: Gets them.
        roots: Modules that are imported at each start, compiled beforehand.
        place: Where those are that are not of the standard library.
        moves: Directories of further modules, and what they are called in the image.

    Returns:
        What needs shared libraries.
    """
    program = Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()
    name = Path(HOME).name
    rootfs.copy(program, f"/usr/local/bin/{name}", mode=0o755)
    rootfs.link("/usr/local/bin/python3", name)
    binaries = [program]
    library = Path(sysconfig.get_path("stdlib")).resolve()
    dynamic = Path(sysconfig.get_config_var("DESTSHARED") or library / "lib-dynload").resolve()
    rootfs.copy_tree(library, HOME, without=(*_WITHOUT, "lib-dynload"))
    if dynamic.is_dir():
        rootfs.copy_tree(dynamic, f"{HOME}/lib-dynload", without=_WITHOUT)
        binaries += [
            path
            for path in sorted(dynamic.glob("*.so"))
            if not any(path.match(pattern) for pattern in _WITHOUT)
        ]
    _add_compiled(rootfs, roots, place, ((str(library), HOME), *moves))
    return binaries


def _add_compiled(
    rootfs: Rootfs, roots: tuple[str, ...], place: str, moves: tuple[tuple[str, str], ...]
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            # Without site: a .pth file of this environment may import what no image has use for.
            [sys.executable, "-S", "-P", "-c", _COMPILE],
            input=json.dumps([roots, place, sorted(moves, key=lambda m: -len(m[0])), scratch]),
            capture_output=True,
            text=True,
            # The order of a set's members, and with it the code, must not change from run to run.
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
            | {"PYTHONHASHSEED": "0"},
            timeout=_LIMIT_S,
            check=False,
        )
        if done.returncode:
            raise ImageFailed("the server's modules cannot be compiled", detail=done.stderr)
        for target, compiled in json.loads(done.stdout).items():
            rootfs.write(target, Path(compiled).read_bytes())

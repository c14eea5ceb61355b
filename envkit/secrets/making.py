"""Making values for secrets that are missing, and writing them where the project reads them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import stat
import string
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from envkit.declared import Secret
from envkit.errors import SecretsUnwritable
from envkit.secrets.faults import KEY_BYTES, Standard, fault
from envkit.secrets.git import is_ignored
from envkit.secrets.sources import Sources, env_paths, read, read_env, shown

if TYPE_CHECKING:
    from envkit.config import Config

__all__ = ["Generated", "generate", "new_value"]

_USUAL: Final = 64  # characters
_LONGEST: Final = 256  # with a pattern
_TRIES: Final = 4  # chance may give a short one that looks like a row of keys
# From the densest; no character of these has a meaning in a shell or in a .env file.
_ALPHABETS: Final = (
    string.ascii_letters + string.digits + "_-",
    string.ascii_letters + string.digits,
    "0123456789abcdef",
    "0123456789ABCDEF",
    string.ascii_lowercase + string.digits,
    string.ascii_uppercase + string.digits,
    string.ascii_letters,
    string.ascii_lowercase,
    string.ascii_uppercase,
    string.digits,
)


class Generated(Struct, frozen=True, kw_only=True):
    """What `generate` did.

    Attributes:
        names: For which it made values.
        file: The file it wrote; empty if it wrote none.
        tightened: The mode that the file had, if others could read it until now ("0644").
        ignored: The file in which git was told to leave it alone; empty if that was not needed.
        exposed: Whether git would take the file, and could not be told otherwise.
    """

    names: tuple[str, ...] = ()
    file: str = ""
    tightened: str = ""
    ignored: str = ""
    exposed: bool = False


def new_value(secret: Secret) -> str | None:
    """A random value that its declaration accepts; None if there is none of random text."""
    import secrets
    import uuid

    if not secret.generate:
        return None
    least = max(_USUAL, secret.min_length, KEY_BYTES.get(secret.algorithm, 0))
    least = max(least, int(secret.min_entropy / 5) + 1)  # a character of 64 has 6 bits
    lengths: Sequence[int] = (least,)
    if secret.pattern:
        # From the usual length down, and then up.
        lengths = (*range(_USUAL, 0, -1), *range(_USUAL + 1, max(_LONGEST, least) + 1))
    for length in lengths:
        for alphabet in _ALPHABETS if secret.pattern else _ALPHABETS[:1]:
            for _ in range(_TRIES):
                value = "".join(secrets.choice(alphabet) for _ in range(length))
                if _fits(secret, value):
                    return value
    value = str(uuid.uuid4())
    return value if _fits(secret, value) else None


def _fits(secret: Secret, value: str) -> bool:
    if secret.pattern and not re.fullmatch(secret.pattern, value):
        return False  # looked at first: it is what most candidates fail
    return fault(secret, value, Standard()) is None


def generate(config: Config, environ: Mapping[str, str], names: Sequence[str]) -> Generated:
    """Write values for the secrets of these names that are still nowhere, into the first env file.

    What is in the file stays as it is, to the byte. The file has mode 0600 afterwards, and git is
    told to ignore it. Of several that do this at the same time, one writes after the other.

    Raises:
        SecretsUnwritable: The file cannot be written, or would not be read as it is meant.
    """
    if not names or not config.env_files:
        return Generated()
    path = env_paths(config, environ)[0]
    file = shown(config, path)
    with _alone(path):
        sources = read(config, environ)
        values = {}
        for name in names:
            if _is_open(name, sources) and (value := new_value(config.secrets[name])):
                values[name] = value
        if not values:
            return Generated()
        try:
            mode = _write(_own(config, path), values)
            ignored, exposed = _ignore(config.root, path)
        except OSError as error:
            raise SecretsUnwritable(
                f"{error.filename or path} cannot be written: {error.strerror or error}",
                hint=f"make it writable, or name another file: env_files = [...] beside {file!r}",
            ) from None
    tightened = f"{mode:04o}" if mode is not None and mode & 0o077 else ""
    return Generated(
        names=tuple(values), file=file, tightened=tightened, ignored=ignored, exposed=exposed
    )


def _is_open(name: str, sources: Sources) -> bool:
    """Whether a line in the file decides: nothing is there, or only an entry without a value."""
    found = sources.found.get(name)
    if found is None:
        return True
    return found.origin == "env-file" and not found.value.reveal().strip()


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    # Not the file itself: it is replaced, and so would be what was locked.
    from envkit.paths import state_dir

    key = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]
    with (state_dir() / f"{key}.env.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _own(config: Config, path: Path) -> Path:
    """The file itself, behind any links.

    Raises:
        SecretsUnwritable: It is no file, or only a link that the project has leads to it: whoever
            reads "writes into .env" did not agree to another file of this machine.
    """
    own, inside = path.resolve(), config.root.resolve()
    if own.exists() and not (own.is_file() or own.is_dir()):  # a pipe would block
        raise SecretsUnwritable(
            f"{path} is no regular file", hint="name a file as the first of env_files"
        )
    if Path(os.path.normpath(path)).is_relative_to(config.root) and not own.is_relative_to(inside):
        raise SecretsUnwritable(
            f"{path} is a link that leads out of the project, to {own}",
            hint=f"if that file is meant, name it itself: env_files = [{str(own)!r}]",
        )
    return own


def _write(path: Path, values: Mapping[str, str]) -> int | None:
    """Append all or nothing; gives the mode that the file had, None if it is new."""
    try:
        before, old = path.read_bytes(), path.stat()
    except FileNotFoundError:
        before, old = b"", None
    newline = b"\r\n" if 2 * before.count(b"\r\n") > before.count(b"\n") else b"\n"
    gap = newline if before and not before.endswith((b"\n", b"\r")) else b""
    lines = (f"{name}={value}".encode() + newline for name, value in values.items())
    # Beside it, so that it can be put in its place at once; made with mode 0600.
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".tmp", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"".join([before, gap, *lines]))
            file.flush()
            os.fsync(file.fileno())
        if old is not None:
            with contextlib.suppress(PermissionError):
                os.chown(beside, old.st_uid, old.st_gid)
        _check(path, beside, values)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return None if old is None else stat.S_IMODE(old.st_mode)


def _check(path: Path, beside: Path, values: Mapping[str, str]) -> None:
    """Raise if what stands before the new lines keeps them from being read, or they change it."""
    before = {one.name: one.value.reveal() for one in read_env(path, {}, [])}
    after = {one.name: one.value.reveal() for one in read_env(beside, {}, [])}
    if after != before | dict(values):
        raise SecretsUnwritable(
            f"{path} has something at its end that keeps further lines from being read",
            hint="look for a quotation mark that is not closed",
        )


def _ignore(root: Path, path: Path) -> tuple[str, bool]:
    """Have git ignore the file: which file now says so, and whether that did not work out."""
    if is_ignored(path) is not False:
        return "", False
    try:
        inside = path.relative_to(root).as_posix()
    except ValueError:
        return "", True
    rules = root / ".gitignore"
    before = rules.read_bytes() if rules.exists() else b""
    gap = b"\n" if before and not before.endswith(b"\n") else b""
    pattern = re.sub(r"([\\*?\[\]!# ])", r"\\\1", inside)
    with rules.open("ab") as file:
        file.write(gap + f"/{pattern}\n".encode())
    return rules.name, is_ignored(path) is False

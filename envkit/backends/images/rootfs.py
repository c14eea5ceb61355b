"""The file tree of an image, and its tar: the same bytes for the same content."""

from __future__ import annotations

import os
import re
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from msgspec import Struct

from envkit.errors import ImageFailed

__all__ = ["Rootfs", "padding", "tar_header"]

CHUNK = 1 << 20
_BLOCK = 512
_MERGED = ("bin", "lib", "lib64", "sbin")  # links into /usr, as in all current distributions


class _Entry(Struct, frozen=True, kw_only=True):
    """One path of the tree: a directory, a link, or a file from memory or from disk."""

    mode: int
    uid: int = 0
    gid: int = 0
    directory: bool = False
    link: str = ""
    hard: bool = False
    data: bytes = b""
    source: str = ""
    size: int = 0


def tar_header(
    name: str,
    *,
    kind: bytes = tarfile.REGTYPE,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    link: str = "",
) -> bytes:
    """The header of one member, without any time or name of a user."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid, info.size = kind, mode, uid, gid, size
    info.linkname = link
    return info.tobuf(tarfile.GNU_FORMAT)


def padding(size: int) -> bytes:
    """What fills the last block of a member."""
    return bytes(-size % _BLOCK)


class Rootfs:
    """Collects a file tree. Paths are absolute, as in the image; parents come by themselves."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._first: dict[tuple[int, int, int], str] = {}
        for name in _MERGED:
            self._entries[name] = _Entry(mode=0o777, link=f"usr/{name}")
            self._entries[f"usr/{name}"] = _Entry(mode=0o755, directory=True)

    def __contains__(self, path: str) -> bool:
        return _key(path) in self._entries

    def directory(self, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        self._put(path, _Entry(mode=mode, uid=uid, gid=gid, directory=True))

    def write(self, path: str, data: bytes | str, *, mode: int = 0o644) -> None:
        content = data.encode() if isinstance(data, str) else data
        self._put(path, _Entry(mode=mode, data=content, size=len(content)))

    def link(self, path: str, target: str) -> None:
        self._put(path, _Entry(mode=0o777, link=target))

    def copy(self, source: Path, path: str, *, mode: int = 0) -> None:
        """Take a file from this machine; one that is there under two names is stored once."""
        seen = source.stat()  # follows links: what counts is the content
        mode = mode or (0o755 if seen.st_mode & stat.S_IXUSR else 0o644)
        identity = (seen.st_dev, seen.st_ino, mode)
        first = self._first.get(identity)
        if first is not None and first != _key(path):
            self._put(path, _Entry(mode=mode, link=first, hard=True))
            return
        self._first[identity] = _key(path)
        self._put(path, _Entry(mode=mode, source=str(source.resolve()), size=seen.st_size))

    def copy_tree(self, source: Path, path: str, *, without: tuple[str, ...] = ()) -> None:
        """Take a directory; ``without`` are patterns of names (or of paths, with a slash)."""
        for place, names, others in os.walk(source):
            inside = PurePosixPath(Path(place).relative_to(source))
            # Also keeps the walk out of what is left behind, which can be the larger part.
            names[:] = sorted(name for name in names if not _matches(inside / name, without))
            for name in sorted(others):
                one, target = Path(place, name), f"{path}/{inside / name}"
                if _matches(inside / name, without) or not one.is_file():
                    continue
                if one.is_symlink() and one.resolve().parent == one.parent.resolve():
                    self.link(target, one.resolve().name)
                else:
                    self.copy(one, target)

    def edit(self, path: str, pattern: str, instead: str) -> None:
        """Replace the one line of a file that matches ``pattern`` from its beginning.

        Raises:
            ImageFailed: There is no such file or line, or more than one.
        """
        entry = self._entries.get(_key(path))
        text = Path(entry.source).read_text() if entry and entry.source else ""
        if entry is not None and not entry.source:
            text = entry.data.decode()
        text, count = re.subn(rf"(?m)^{pattern}$", lambda _: instead, text)
        if count != 1:
            raise ImageFailed(f"{path} has {count} lines that match {pattern}")
        self.write(path, text)

    def _put(self, path: str, entry: _Entry) -> None:
        key = _key(path)
        for parent in list(PurePosixPath(key).parents)[:-1]:
            self._entries.setdefault(str(parent), _Entry(mode=0o755, directory=True))
        self._entries[key] = entry

    def size(self) -> int:
        """Bytes of `stream`."""
        total = 2 * _BLOCK
        for name, entry in self._ordered():
            total += len(_header(name, entry)) + entry.size + len(padding(entry.size))
        return total

    def stream(self) -> Iterator[bytes]:
        """The tar: members sorted by name, all of them from the beginning of time.

        Raises:
            ImageFailed: A file changed while it was read.
        """
        for name, entry in self._ordered():
            yield _header(name, entry)
            if entry.source:
                yield from _content(entry)
            elif entry.data:
                yield entry.data
            yield padding(entry.size)
        yield bytes(2 * _BLOCK)

    def _ordered(self) -> list[tuple[str, _Entry]]:
        # Hard links come after what they link to.
        return sorted(self._entries.items(), key=lambda item: (item[1].hard, item[0]))


def _matches(path: PurePosixPath, patterns: tuple[str, ...]) -> bool:
    return any(path.match(pattern) for pattern in patterns)


def _key(path: str) -> str:
    key = path.strip("/")
    return f"usr/{key}" if key.split("/")[0] in _MERGED and "/" in key else key


def _header(name: str, entry: _Entry) -> bytes:
    if entry.directory:
        name, kind = f"{name}/", tarfile.DIRTYPE
    elif entry.link:
        kind = tarfile.LNKTYPE if entry.hard else tarfile.SYMTYPE
    else:
        kind = tarfile.REGTYPE
    return tar_header(
        name,
        kind=kind,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
        size=entry.size,
        link=entry.link,
    )


def _content(entry: _Entry) -> Iterator[bytes]:
    left = entry.size
    try:
        with Path(entry.source).open("rb") as file:
            while left and (chunk := file.read(min(CHUNK, left))):
                left -= len(chunk)
                yield chunk
    except OSError as error:
        raise ImageFailed(f"{entry.source} cannot be read: {error.strerror}") from None
    if left:
        raise ImageFailed(f"{entry.source} became shorter while it was read")

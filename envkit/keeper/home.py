"""All that a keeper has in the file system: data directory, logs, socket, record, locks."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path

import msgspec

from envkit import paths
from envkit.errors import DiskFull, EnvkitError, KeeperStartFailed
from envkit.keeper import record
from envkit.keeper.prune import LOCK_FILE, leftovers_of, remove_data
from envkit.keeper.watch import Watch
from envkit.processes import remove_directory, remove_file, start_time
from envkit.version import __version__

__all__ = ["Home"]


class Home:
    """Made at a keeper's birth; the watchdog knows of it.

    Args:
        key: Of the keeper.
        root: Of the project.
        data_dir: Where the configuration wants the data; empty takes the best place.
        lock_descriptor: Of the record, locked: nobody else is using what lies here.

    Attributes:
        data: Of the servers.
        logs: Of the servers and of the keeper itself.
        watch: The watchdog.
        listener: Where clients come.

    Raises:
        DiskFull: There is no room.
        KeeperStartFailed: Something cannot be written.
        RunDirUnsafe, TmpReadonly: See `paths`.
    """

    def __init__(self, key: str, root: str, data_dir: str, lock_descriptor: int) -> None:
        self._key = key
        self._root = root
        self._record_path = record.path_of(key)
        self._socket_path = paths.run_dir() / f"{key}.sock"
        try:
            self._saved_logs = paths.state_dir() / "logs"
            for dead in leftovers_of(key, data_dir):
                remove_data(dead)
            self.data = paths.data_dir(key, data_dir)
            self._settle(lock_descriptor)
        except BaseException as error:
            if hasattr(self, "data"):
                remove_directory(str(self.data))
            remove_file(str(self._record_path))
            if isinstance(error, OSError):
                raise _no_place(error, self._record_path, self._socket_path) from None
            raise

    def _settle(self, lock_descriptor: int) -> None:
        self.watch = Watch(lock_descriptor, self._lock_data())
        self.watch.directory(self.data)
        self.watch.file(self._socket_path)
        self.watch.file(self._record_path)
        self.data.chmod(0o711)  # servers of another user pass through to their own part
        self.logs = self.data / "logs"
        self.logs.mkdir(mode=0o700)
        self.watch.logs(self.logs, self._saved_logs, record.log_prefix(self._root, self._key))
        self.listener = self._listen()
        self._write_record(lock_descriptor)

    def _lock_data(self) -> int:
        import fcntl

        descriptor = os.open(self.data / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(descriptor, str(self._record_path).encode())
        return descriptor

    def _listen(self) -> socket.socket:
        # We hold the lock, so whatever lies there belongs to a keeper that is dead.
        self._socket_path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        while True:
            try:
                listener.bind(str(self._socket_path))
                break
            except FileNotFoundError:
                paths.run_dir()  # the last keeper to end has just removed the empty directory
        listener.listen(64)
        return listener

    def _write_record(self, lock_descriptor: int) -> None:
        about = record.Record(
            key=self._key,
            version=__version__,
            root=self._root,
            pid=os.getpid(),
            started=start_time(os.getpid()) or 0,
            boot=_boot_id(),
            socket=str(self._socket_path),
            data=str(self.data),
        )
        os.ftruncate(lock_descriptor, 0)
        os.pwrite(lock_descriptor, msgspec.json.encode(about), 0)

    def take_over_output(self) -> None:
        """From here on, what this process prints belongs to its own log."""
        log = os.open(self.logs / "keeper.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)

    def close(self) -> None:
        """Let no new client in."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def save_logs(self) -> None:
        """Keep the logs beyond the end."""
        from envkit.keeper.watchdog import save_logs

        save_logs(str(self.logs), str(self._saved_logs), record.log_prefix(self._root, self._key))

    def remove(self) -> None:
        """Remove all of it and let the watchdog go."""
        for path in self.watch.directories():
            remove_directory(path)
        remove_file(str(self._socket_path))
        # Before the lock goes with the last process that has it: a newcomer that opened this very
        # file finds it unlinked and makes its own.
        remove_file(str(self._record_path))
        self.watch.done()


def _no_place(error: OSError, *places: Path) -> EnvkitError:
    """What it means that a file of the keeper's own could not be written."""
    where = " or ".join(str(place.parent) for place in places)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"no room for the keeper's own files, which go to {where}: {error.strerror}",
            hint=f"df -h {places[0].parent}; df -i {places[0].parent}",
        )
    return KeeperStartFailed(
        f"the keeper's own files cannot be written to {where}: {error}",
        hint="set XDG_STATE_HOME and XDG_RUNTIME_DIR to directories you can write to",
    )


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""

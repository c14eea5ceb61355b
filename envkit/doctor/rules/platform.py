"""What differs from system to system: modules of the standard library, encodings."""

from __future__ import annotations

import sys
from typing import Final

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []

# Of Unix alone, of Windows alone, and what a Python lacks that was built without a library.
_UNIX: Final = frozenset(
    ("crypt", "fcntl", "grp", "nis", "ossaudiodev", "posix", "pty", "pwd", "readline", "resource")
) | {"spwd", "syslog", "termios", "tty", "_posixsubprocess", "_posixshmem"}
_WINDOWS: Final = frozenset(("msvcrt", "winreg", "winsound", "_winapi", "nt", "_overlapped"))
_BUILT_WITHOUT: Final = frozenset(
    ("_bz2", "_ctypes", "_curses", "_dbm", "_gdbm", "_lzma", "_sqlite3", "_ssl", "_tkinter")
) | {"_hashlib", "_uuid", "_zstd"}
# What something else stands in for is `pytest.collect.module-missing`, which knows what.
_REPLACED: Final = frozenset(("asynchat", "asyncore", "cgi", "distutils", "imp"))
# https://docs.python.org/3/whatsnew/: module to the version it is gone from
_REMOVED: Final = {
    "smtpd": "3.12",
    "crypt": "3.13",
    "imghdr": "3.13",
    "nntplib": "3.13",
    "pipes": "3.13",
    "sndhdr": "3.13",
    "telnetlib": "3.13",
    "uu": "3.13",
    "xdrlib": "3.13",
}


@rule(
    "platform.module-missing",
    source="python",
    codes=["ModuleNotFoundError"],
    texts=[r"No module named '?(?P<module>[A-Za-z_]\w*)(?:\.[\w.]+)?'?"],
    layer="driver",
    explains=["pytest.conftest.import", "pytest.collect.interrupted"],
)
def module_missing(seen: Seen) -> Finding | None:
    """A module of the standard library is not in this Python.

    Why: It exists on Unix only (fcntl, resource, pwd) or on Windows only (msvcrt, winreg), was
    removed from newer Pythons (telnetlib, pipes), or Python was built without a library (_sqlite3).

    Fix: Guard the import, or use another module; for a Python built without a library install the
    library's headers and build it again.
    """
    module = seen.get("module").partition(".")[0]
    if module in _REPLACED:
        return None
    if module in _REMOVED and module not in _UNIX:
        cause = f"Python {_REMOVED[module]} and later do not have it any more"
        fix = "upgrade whatever still imports it"
    elif module in _UNIX:
        cause, fix = "it exists on Unix only", "guard the import: if sys.platform != 'win32'"
    elif module in _WINDOWS:
        cause, fix = "it exists on Windows only", "guard the import: if sys.platform == 'win32'"
    elif module in _BUILT_WITHOUT:
        cause = f"this Python was built without the library that {module} needs"
        fix = "install the library's headers, and build or install Python again"
    elif module in sys.stdlib_module_names:
        cause = "this Python is incomplete: its distribution packages the module separately"
        fix = "install the full Python (on Debian: python3-full)"
    else:
        return None
    return seen.finding(title=f"this Python has no module {module}", cause=cause, fix=fix)


@rule(
    "platform.encoding",
    source="host",
    codes=["ENCODING"],
    texts=[
        r"'(?P<codec>charmap|cp125\d|cp437|cp850|cp932|cp936|gbk|ascii)' codec can't "
        r"(?:en|de)code",
        r"UnicodeEncodeError: '(?P<codec2>[\w-]+)' codec can't encode .*surrogates not allowed",
    ],
    confidence="likely",
    layer="host",
)
def encoding(seen: Seen) -> Finding | None:
    """Text is read or written in an encoding that is not UTF-8.

    Why: Python takes the encoding of open() and of its output from the system: cp1252 and the like
    on Windows, ASCII in containers without a locale.

    Fix: Run with PYTHONUTF8=1, or say encoding="utf-8" in the code.
    """
    if seen.get("codec2"):
        return None  # bytes that were no text in any encoding: not the system's
    codec = seen.get("codec")
    return seen.finding(
        title=f"text is read or written as {codec}, not as UTF-8",
        cause="Python took the encoding from the system, which names another one",
        fix='run with PYTHONUTF8=1, or say encoding="utf-8" in the code',
        command="export PYTHONUTF8=1",
        severity="warning" if seen.symptom.code == "ENCODING" else None,
        # Code that asks for ASCII by name fails with the same words.
        confidence="guess" if codec == "ascii" and not seen.symptom.code else None,
    )

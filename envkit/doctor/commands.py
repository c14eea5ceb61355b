"""Commands that people can type as they are: with a real host and port, and never a password."""

from __future__ import annotations

import re
import shlex
from typing import Final

from envkit.doctor.engine import Seen

__all__ = ["place", "redis_cli"]

_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]*")


def place(seen: Seen) -> str:
    """``host:port``, as far as it is known."""
    host = seen.get("host") or seen.target.host
    port = seen.get("port") or (str(seen.target.port) if seen.target.port else "")
    return ":".join(part for part in (host, port) if part)


def redis_cli(seen: Seen, *words: str) -> str:
    """A command for the server that was seen; empty if nobody knows which one that is.

    A variable that holds the URL also holds the password; https://redis.io/docs/latest/develop/tools/cli/
    """
    command = shlex.join(words)
    target = seen.target
    if _VARIABLE.fullmatch(target.origin):
        return f'redis-cli -u "${target.origin}" {command}'
    host = seen.get("host") or target.host
    port = seen.get("port") or (str(target.port) if target.port else "")
    if host.startswith("/"):
        return f"redis-cli -s {shlex.quote(host)} {command}"
    if not host or not port:
        return ""
    return f"redis-cli -h {shlex.quote(host)} -p {port} {command}"

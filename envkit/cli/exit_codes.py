"""What the exit codes of the commands mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["EXIT_CODES", "OWN_EXIT_CODES", "said"]

#: Of every command that has none of its own.
EXIT_CODES: Final[dict[str, str]] = {
    "0": "done",
    "1": "a problem",
    "2": "usage or configuration",
    "3": "a service could not start",
    "130": "interrupted with Ctrl-C",
}
#: Of commands whose outcome is another.
OWN_EXIT_CODES: Final[dict[str, dict[str, str]]] = {
    "run": {
        "125": "a failure of envkit's own",
        "126": "the command cannot be run",
        "127": "the command was not found",
        "any other": "the command's own; 128 + N if signal N ended it",
    },
    "shell": {
        "any": "that of psql, redis-cli or the ClickHouse client, once it runs",
    },
    "doctor": {
        "0": "healthy, warnings included",
        "1": "a problem",
        "2": "usage",
        "3": "something could not be checked, and nothing else is wrong",
    },
    "test": {
        "0": "passed, or empty beside passed",
        "1": "a category failed or was blocked",
        "2": "usage or configuration",
        "3": "a category could not be run or checked, and none failed or was blocked",
        "5": "all that was asked for is empty: no test was selected",
        "128 + N": "ended by signal N, as 130 by Ctrl-C",
    },
}


def said(codes: Mapping[str, str]) -> str:
    """All of them in one line."""
    return ", ".join(f"{code} {meaning}" for code, meaning in codes.items())

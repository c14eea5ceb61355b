"""What the generated jobs use of others, each at one version that was looked at.

The commits were read from the repositories' own tags; whoever moves one moves its comment along.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ACTIONS", "PYTHONS", "RUNNER", "WHEELS"]

#: Actions of GitHub, by name: commit and the tag that names it.
ACTIONS: Final = {
    "checkout": ("3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1"),
    "setup-python": ("5fda3b95a4ea91299a34e894583c3862153e4b97", "v7.0.0"),
    "cache": ("27d5ce7f107fe9357f9df03efb73ab90386fccae", "v5.0.5"),
    "upload-artifact": ("bbbca2ddaa5d8feaa63e36b76fdaad77386f024f", "v7.0.0"),
}
RUNNER: Final = "ubuntu-24.04"
#: That envkit is tested with; the first one that a project allows is what its job uses.
PYTHONS: Final = ("3.12", "3.13", "3.11")
#: The major versions of the servers that the ``embedded`` extra brings.
WHEELS: Final = {"postgres": "18", "redis": "9", "clickhouse": "26"}

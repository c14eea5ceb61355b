"""For the whole repository: pytester, and what the documentation says as tests."""

from __future__ import annotations

from sybil import Sybil

from tests.docs.running import examples

pytest_plugins = ["pytester"]

pytest_collect_file = Sybil(
    parsers=[examples],
    patterns=["README.md", "docs/*.md", "docs/*/*.md"],
    excludes=["docs/reference/*.md"],  # made from the code, and compared with it
).pytest()

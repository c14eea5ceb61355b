"""The results for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from envkit.categories.render.words import cleaned
from envkit.categories.result import Result
from envkit.doctor.render.words import line

__all__ = ["as_data"]


def as_data(results: Sequence[Result], code: int) -> dict[str, Any]:
    """What ``--format json`` prints; ``null`` is what nobody knows."""
    return {
        "version": 1,
        "exit_code": code,
        "categories": [
            {
                "name": one.name,
                "outcome": one.outcome,
                "selected": one.selected,
                "deselected": one.deselected,
                "counts": dict(one.counts),
                "seconds": round(one.seconds, 3),
                "cause": line(one.cause),
                "finding": msgspec.to_builtins(cleaned(one.finding)) if one.finding else None,
            }
            for one in results
        ],
    }

"""Configuration written and read back at once."""

from __future__ import annotations

from pathlib import Path

from envkit.config import (
    Config,
    Overrides,
    load,
)


def read(
    root: Path,
    text: str | bytes,
    *,
    name: str = "pyproject.toml",
    environ: dict[str, str] | None = None,
    overrides: Overrides | None = None,
) -> Config:
    content = text.encode() if isinstance(text, str) else text
    (root / name).write_bytes(content)
    return load(root, environ=environ or {}, overrides=overrides)


def table(text: str) -> str:
    return f"[tool.envkit]\n{text}\n"

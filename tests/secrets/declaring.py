"""A project that declares secrets, examined in one call."""

from __future__ import annotations

from pathlib import Path

from envkit.config import Config, load
from envkit.secrets import Verdict, examine

GOOD = "Zq8mN2vR7tYp4wXc9LkJ3hGf6sDa1bVe"


def declared(root: Path, secrets: str, *, more: str = "") -> Config:
    """A project whose table of secrets is this."""
    (root / "envkit.toml").write_text(f"secret_dirs = ['run']\n{more}\n[secrets]\n{secrets}\n")
    return load(root, environ={})


def verdicts(root: Path, secrets: str, *, more: str = "", **environ: str) -> tuple[Verdict, ...]:
    return examine(declared(root, secrets, more=more), environ)


def slugs(root: Path, secrets: str, *, more: str = "", **environ: str) -> list[str]:
    return [one.slug for one in verdicts(root, secrets, more=more, **environ)]

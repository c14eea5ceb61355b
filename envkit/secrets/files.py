"""Whether a file with secrets in it is where others can read it."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

from envkit.declared import Secret
from envkit.secrets import urls
from envkit.secrets.git import is_tracked
from envkit.secrets.sources import Found, Sources
from envkit.secrets.verdict import Verdict

__all__ = ["judge_files"]


def judge_files(secrets: Mapping[str, Secret], sources: Sources) -> tuple[Verdict, ...]:
    """What is to be said of the ``.env`` files that declared secrets stand in."""
    named: dict[Path, list[Found]] = {}
    for name, found in sources.found.items():
        if found.origin == "env-file" and found.path and _is_worth_hiding(secrets[name], found):
            named.setdefault(found.path, []).append(found)
    verdicts = []
    for path, held in named.items():
        shown = held[0].source.rpartition(" line ")[0]
        what = f"{shown}, which holds {_listed([found.name for found in held])},"
        if is_tracked(path):
            verdicts.append(
                Verdict(
                    slug="secret.file-tracked",
                    name="",
                    source=shown,
                    observed=f"{what} is tracked by git: everybody has it who has the repository",
                    advice="take it out of git, ignore it, and use other values from now on",
                    command=f"git rm -q --cached {shlex.quote(shown)}"
                    f" && echo {shlex.quote(f'/{shown}')} >> .gitignore",
                )
            )
        elif _others_read(path):
            verdicts.append(
                Verdict(
                    slug="secret.file-open",
                    name="",
                    source=shown,
                    observed=f"{what} can be read by other users of this machine",
                    advice="keep it to yourself",
                    command=f"chmod 600 {shlex.quote(shown)}",
                    severity="warning",
                )
            )
    return tuple(verdicts)


def _is_worth_hiding(secret: Secret, found: Found) -> bool:
    """Whether anybody could do anything with it: not so with a URL that has no password."""
    value = found.value.reveal().strip()
    if secret.kind == "one-of" or not value:
        return False
    return secret.kind not in ("url", "dsn") or bool(urls.passwords(value))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _others_read(path: Path) -> bool:
    """Whether its mode lets others read it, and that of each directory lets them get there."""
    try:
        if not path.stat().st_mode & stat.S_IROTH:
            return False
        return all(place.stat().st_mode & stat.S_IXOTH for place in path.resolve().parents)
    except OSError:
        return False

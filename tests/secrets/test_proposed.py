"""The secrets that ``envkit init`` proposes to declare."""

from __future__ import annotations

from pathlib import Path

import pytest

from envkit.config import load
from envkit.declared import Secret
from envkit.init import propose, write


def proposed(root: Path) -> dict[str, Secret]:
    write(propose(root))
    return dict(load(root, environ={}).secrets)


@pytest.mark.parametrize("pyproject", [True, False])
def test_secrets_of_the_example_file_are_declared(tmp_path: Path, pyproject: bool) -> None:
    if pyproject:
        (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    (tmp_path / ".env.example").write_text(
        "SERVICE_SECRET=\nJWT_SECRET=changeme\nAUTH_SERVICE_URL=http://auth:1\nDJANGO_SECRET_KEY=\n"
        "DATABASE_URL=postgresql://localhost/x\nDEBUG=1\nPGPASSWORD=x\nPOSTGRES_DSN=postgres://x\n"
    )
    assert proposed(tmp_path) == {
        "AUTH_SERVICE_URL": Secret(name="AUTH_SERVICE_URL", kind="url", generate=False),
        "DJANGO_SECRET_KEY": Secret(name="DJANGO_SECRET_KEY"),
        "JWT_SECRET": Secret(name="JWT_SECRET", kind="jwt", algorithm="HS256"),
        "SERVICE_SECRET": Secret(name="SERVICE_SECRET", min_length=32),
    }


def test_the_reason_names_the_place_and_never_a_value(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "auth.py").write_text("import os\n\nkey = os.environ['JWT_SECRET']\n")
    (tmp_path / ".env.example").write_text("SERVICE_SECRET=a-real-one-by-mistake\n")
    proposal = propose(tmp_path)
    assert "secrets.JWT_SECRET: named in app/auth.py, line 3" in proposal.reasons
    assert "secrets.SERVICE_SECRET: named in .env.example, line 1" in proposal.reasons
    assert "mistake" not in repr(proposal)


def test_what_only_resembles_a_name_is_not_declared(tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "lib.py").write_text("x = 'JWT_SECRET'\n")
    (tmp_path / "app.py").write_text("# JWT_SECRET\nx = 'MY_JWT_SECRET_NAME'\n")
    assert proposed(tmp_path) == {}

"""Values for missing secrets: what is written, where, and what is left as it was."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envkit.declared import Secret
from envkit.errors import SecretsUnwritable
from envkit.secrets import examine, generate
from envkit.secrets.making import new_value
from tests.secrets.declaring import GOOD, declared

if TYPE_CHECKING:
    from tests.conftest import Project


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    subprocess.run(["git", "-C", root, *identity, *arguments], check=True, capture_output=True)


def test_missing_secrets_are_made_and_nothing_is_wrong_afterwards(tmp_path: Path) -> None:
    config = declared(tmp_path, 'A = {}\nB = { algorithm = "HS512" }\nC = { min_length = 100 }')
    made = generate(config, {})
    assert (made.names, made.file, made.tightened) == (("A", "B", "C"), ".env", "")
    assert mode(tmp_path / ".env") == "0600"
    assert examine(config, {}) == ()


@pytest.mark.parametrize(
    "before",
    [
        b"# mine\nOTHER=1\n",
        b"OTHER=1",
        b"\xef\xbb\xbfOTHER=1\r\nX='a\r\nb'\r\n",
        b"\xff\xfe not utf-8 \nOTHER=${A}\n",
        b"KEY=\n",
        b"\n\n\n",
        b"this is broken\n= =\n",
    ],
)
def test_what_is_in_the_file_stays_to_the_byte(tmp_path: Path, before: bytes) -> None:
    (tmp_path / ".env").write_bytes(before)
    config = declared(tmp_path, "KEY = {}")
    assert generate(config, {}).names == ("KEY",)
    after = (tmp_path / ".env").read_bytes()
    assert after.startswith(before)
    newline = b"\r\n" if b"\r\n" in before else b"\n"
    assert re.fullmatch(b"(?:\r?\n)?KEY=[A-Za-z0-9_-]{64}" + newline, after[len(before) :])
    assert examine(config, {}) == ()


def test_a_value_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KEY=changeme\n")
    assert generate(declared(tmp_path, "KEY = {}"), {}).names == ()
    assert (tmp_path / ".env").read_text() == "KEY=changeme\n"


def test_what_is_set_elsewhere_is_not_made(tmp_path: Path) -> None:
    config = declared(tmp_path, "A = {}\nB = {}\nC = { required_in = ['ci'] }\nD.kind = 'url'")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "B").write_text(GOOD)
    assert generate(config, {"A": GOOD}).names == ()
    assert not (tmp_path / ".env").exists()


def test_what_the_environment_sets_to_nothing_cannot_be_mended_in_a_file(tmp_path: Path) -> None:
    assert generate(declared(tmp_path, "KEY = {}"), {"KEY": ""}).names == ()


def test_a_mode_that_lets_others_read_is_narrowed_and_told(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("OTHER=1\n")
    path.chmod(0o644)
    assert generate(declared(tmp_path, "KEY = {}"), {}).tightened == "0644"
    assert mode(path) == "0600"


def test_a_link_is_followed_and_stays_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "env").write_text("OTHER=1\n")
    (tmp_path / ".env").symlink_to("elsewhere/env")
    generate(declared(tmp_path, "KEY = {}"), {})
    assert (tmp_path / ".env").is_symlink()
    assert "KEY=" in (tmp_path / "elsewhere" / "env").read_text()


def test_an_unclosed_quotation_mark_before_does_not_swallow_a_new_line(tmp_path: Path) -> None:
    # Its first line refers to what is new, and must not be taken for changed.
    before = "X=${KEY:-a}\nZ='c"
    (tmp_path / ".env").write_text(before)
    config = declared(tmp_path, "KEY = {}")
    generate(config, {})
    assert (tmp_path / ".env").read_text().startswith(f"{before}\nKEY=")
    assert [path.name for path in tmp_path.glob(".env*")] == [".env"]


def test_a_directory_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(SecretsUnwritable, match="cannot be written: Is a directory"):
        generate(declared(tmp_path, "KEY = {}"), {})


def test_git_is_told_to_ignore_the_file(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("*.pyc")
    made = generate(declared(tmp_path, "KEY = {}"), {})
    assert (made.ignored, made.exposed) == (".gitignore", False)
    assert (tmp_path / ".gitignore").read_text() == "*.pyc\n/.env\n"


def test_a_file_that_git_ignores_already_needs_no_further_rule(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text(".env*\n")
    assert generate(declared(tmp_path, "KEY = {}"), {}).ignored == ""
    assert (tmp_path / ".gitignore").read_text() == ".env*\n"


def test_a_name_that_gitignore_reads_otherwise_is_escaped(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    config = declared(tmp_path, "KEY = {}", more="env_files = ['![a] #*.env']")
    made = generate(config, {})
    assert (made.ignored, made.exposed) == (".gitignore", False)


def test_without_a_repository_no_gitignore_appears(tmp_path: Path) -> None:
    generate(declared(tmp_path, "KEY = {}"), {})
    assert not (tmp_path / ".gitignore").exists()


def test_many_at_once_lose_no_line_and_make_each_value_once(tmp_path: Path) -> None:
    names = [f"KEY{n}" for n in range(8)]
    configs = [declared(tmp_path, "\n".join(f"{n} = {{}}" for n in names))] * 8
    (tmp_path / ".env").write_text("OTHER=1\n")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda config: generate(config, {}), configs))
    lines = (tmp_path / ".env").read_text().splitlines()
    assert sorted(line.partition("=")[0] for line in lines) == sorted([*names, "OTHER"])
    assert sorted(name for one in made for name in one.names) == sorted(names)


def test_two_commands_at_once_lose_no_line(project: Project) -> None:
    project.write("envkit.toml", "[secrets]\nA = {}\nB = {}\nC = {}\n")
    running = [project.spawn("secrets", "generate") for _ in range(4)]
    for one in running:
        one.communicate(timeout=60)
    assert [one.returncode for one in running] == [0] * 4
    lines = (project.root / ".env").read_text().splitlines()
    assert [line.partition("=")[0] for line in lines] == ["A", "B", "C"]


@pytest.mark.parametrize(
    "pattern",
    [
        r"[A-Za-z0-9_-]{43}",
        r"[0-9a-f]{32}",
        r"[A-Z]{20,30}",
        r"\d{10}",
        r".{12}",
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    ],
)
def test_values_match_their_pattern_where_random_text_can(pattern: str) -> None:
    value = new_value(Secret(name="KEY", pattern=pattern))
    assert value is not None
    assert re.fullmatch(pattern, value)


def test_what_random_text_cannot_match_is_not_made_and_no_command_is_named(tmp_path: Path) -> None:
    config = declared(tmp_path, "KEY = { pattern = 'sk_test_[a-z]{24}' }")
    assert generate(config, {}).names == ()
    (verdict,) = examine(config, {})
    assert (verdict.slug, verdict.command) == ("secret.missing", "")


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 2000), st.sampled_from(["", "HS256", "HS512"]))
def test_values_fit_every_declaration(length: int, bits: int, algorithm: str) -> None:
    secret = Secret(
        name="KEY",
        kind="jwt" if algorithm else "opaque",
        algorithm=algorithm,
        min_length=length,
        min_entropy=bits,
    )
    value = new_value(secret)
    assert value is not None
    assert len(value) >= length


@pytest.mark.parametrize("found", ["short", "changeme", "a" * 40])
def test_the_command_that_is_named_mends_a_value_in_a_file(project: Project, found: str) -> None:
    project.write("envkit.toml", '[secrets]\nA = {}\nKEY = { algorithm = "HS256" }\n')
    project.write(".env", f"# first\nA={GOOD}\nexport KEY = '{found}'\n").chmod(0o600)
    config = declared(project.root, 'A = {}\nKEY = { algorithm = "HS256" }')
    (verdict,) = examine(config, {})
    bin_ = Path(os.environ.get("VIRTUAL_ENV", "")) / "bin"
    path = f"{bin_}:{os.environ['PATH']}"
    subprocess.run(
        verdict.command, shell=True, check=True, cwd=project.root, env=os.environ | {"PATH": path}
    )
    assert examine(config, {}) == ()
    assert (project.root / ".env").read_text().startswith(f"# first\nA={GOOD}\nKEY=")


def test_a_file_that_git_tracks_is_told_and_the_command_mends_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".env").write_text(f"KEY={GOOD}\n")
    git(tmp_path, "add", ".env")
    git(tmp_path, "commit", "-qm", "all")
    (tmp_path / ".env").chmod(0o600)
    config = declared(tmp_path, "KEY = {}")
    (verdict,) = examine(config, {})
    assert (verdict.slug, verdict.severity) == ("secret.file-tracked", "error")
    subprocess.run(verdict.command, shell=True, check=True, cwd=tmp_path)
    assert examine(config, {}) == ()
    assert (tmp_path / ".env").read_text() == f"KEY={GOOD}\n"


def test_a_tracked_file_without_anything_secret_is_fine(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".env").write_text("STAGE=test\nURL=http://localhost:8000\nOTHER=x\n")
    git(tmp_path, "add", ".env")
    config = declared(tmp_path, "STAGE = { one_of = ['test'] }\nURL = { kind = 'url' }")
    assert examine(config, {}) == ()


@pytest.mark.parametrize(
    ("directory", "file", "told"), [(0o755, 0o644, 1), (0o700, 0o644, 0), (0o755, 0o640, 0)]
)
def test_a_file_is_open_if_others_can_get_to_it(
    directory: int, file: int, told: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Not below pytest's own directory, which nobody else may enter.
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        root = Path(name)
        (root / ".env").write_text(f"KEY={GOOD}\n")
        (root / ".env").chmod(file)
        root.chmod(directory)
        found = examine(declared(root, "KEY = {}"), {})
        assert [one.slug for one in found] == ["secret.file-open"] * told
        for one in found:
            assert one.severity == "warning"
            subprocess.run(one.command, shell=True, check=True, cwd=root)
        assert examine(declared(root, "KEY = {}"), {}) == ()


def test_a_link_out_of_the_project_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    other = tmp_path / "other"
    other.write_text("OTHER=1\n")
    (tmp_path / "project" / ".env").symlink_to(other)
    with pytest.raises(SecretsUnwritable, match="leads out of the project"):
        generate(declared(tmp_path / "project", "KEY = {}"), {})
    assert other.read_text() == "OTHER=1\n"


def test_a_file_outside_that_is_named_itself_is_written(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    config = declared(tmp_path / "project", "KEY = {}", more="env_files = ['../shared.env']")
    assert generate(config, {}).names == ("KEY",)
    assert "KEY=" in (tmp_path / "shared.env").read_text()


def test_a_pipe_in_place_of_the_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    with pytest.raises(SecretsUnwritable, match="no regular file"):
        generate(declared(tmp_path, "KEY = {}"), {})


def test_git_that_hangs_is_gone_with_all_its_children_when_the_command_ends(
    project: Project,
) -> None:
    git(project.root, "init", "-q")
    project.write("envkit.toml", "[secrets]\nKEY = {}\n")
    project.write(".env", f"KEY={GOOD}\n").chmod(0o600)
    slow = project.write("bin/git", "#!/bin/sh\nsleep 60 & echo $! > sleeps; wait\n")
    slow.chmod(0o755)
    done = project.envkit("doctor", PATH=f"{slow.parent}:{os.environ['PATH']}")
    command = Path("/proc", (project.root / "sleeps").read_text().strip(), "cmdline")
    assert not command.exists() or not command.read_text()  # gone, or waiting for init's wait()
    assert done.returncode == 0, done.stdout

"""Where configuration is found, and files that are not plain UTF-8 TOML."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

import pytest

from envkit.config import (
    find_root,
    load,
)
from envkit.errors import ConfigInvalid
from envkit.model import (
    Settings,
)
from tests.config.reading import read, table


def test_without_any_file_everything_is_default(tmp_path: Path) -> None:
    config = load(tmp_path, environ={})
    assert config.settings == Settings()
    assert config.file is None
    assert set(config.origins.values()) == {"default"}


def test_root_is_the_first_directory_upwards_that_configures_envkit(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(table(""))
    (tmp_path / "a" / "pyproject.toml").write_text("[project]\nname = 'uses-envkit-in-parent'\n")
    assert find_root(below) == tmp_path


def test_root_is_else_the_nearest_directory_with_a_pyproject(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / "a" / "pyproject.toml").touch()
    assert find_root(below) == tmp_path / "a"


@pytest.mark.parametrize("worktree", [True, False])
def test_root_is_else_the_nearest_repository(tmp_path: Path, worktree: bool) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    if worktree:
        (tmp_path / "a" / ".git").write_text("gitdir: elsewhere\n")
    else:
        (tmp_path / "a" / ".git").mkdir()
    assert find_root(below) == tmp_path / "a"


def test_root_is_else_the_start(tmp_path: Path) -> None:
    assert find_root(tmp_path) == tmp_path


def test_root_is_found_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "envkit.toml").touch()
    assert find_root(tmp_path / "envkit.toml") == tmp_path


def test_root_is_the_same_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "envkit.toml").touch()
    assert find_root(tmp_path / "link") == tmp_path / "real"


def test_load_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "envkit.toml").write_text("linger = 3\n")
    monkeypatch.chdir(tmp_path / "below")
    config = load(environ={})
    assert (config.root, config.settings.linger) == (tmp_path, 3.0)


def test_a_working_directory_that_is_gone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ConfigInvalid, match="working directory does not exist"):
        load(environ={})


def test_both_files_in_one_directory_are_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "envkit.toml").touch()
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, table(""))
    assert f"{tmp_path / 'envkit.toml'}" in caught.value.observed
    assert "pyproject.toml:1" in caught.value.observed


def test_envkit_toml_beside_a_pyproject_without_our_table_is_used(tmp_path: Path) -> None:
    (tmp_path / "envkit.toml").write_text("linger = '5m'\n")
    config = read(tmp_path, "[project]\nname = 'x'\n")
    assert (config.file, config.settings.linger) == (tmp_path / "envkit.toml", 300.0)


def test_a_pyproject_that_never_says_envkit_is_not_parsed(tmp_path: Path) -> None:
    assert read(tmp_path, "this is = = not TOML").settings == Settings()


def test_a_directory_called_pyproject_toml_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").mkdir()
    assert load(tmp_path, environ={}).settings == Settings()


def test_a_directory_called_envkit_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "envkit.toml").mkdir()
    with pytest.raises(ConfigInvalid, match="is a directory; expected a file"):
        load(tmp_path, environ={})


def test_a_named_pipe_called_envkit_toml_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "envkit.toml")
    with pytest.raises(ConfigInvalid, match="special file"):
        load(tmp_path, environ={})


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_read_permission_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.touch(mode=0o200)
    with pytest.raises(ConfigInvalid, match="cannot be read: Permission denied") as caught:
        load(tmp_path, environ={})
    assert caught.value.hint == f"make it readable: chmod u+r {path}"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux' /proc")
def test_a_file_that_fails_while_it_is_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").symlink_to("/proc/self/mem")
    with pytest.raises(ConfigInvalid, match=r"pyproject\.toml cannot be read: Input/output error"):
        load(tmp_path, environ={})


def test_a_byte_order_mark_changes_nothing(tmp_path: Path) -> None:
    config = read(tmp_path, codecs.BOM_UTF8 + table("linger = 2").encode())
    assert config.settings.linger == 2.0


def test_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    config = read(tmp_path, b"[project]\r\n[tool.envkit]\r\nlinger = 2\r\n")
    assert config.origins["linger"] == "pyproject.toml:3"


def test_a_byte_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, table("# gr\u00fcn").encode("latin-1"))
    assert caught.value.observed.startswith("pyproject.toml:2: byte 0xfc is not UTF-8")


def test_broken_toml_is_quoted_with_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, table("services = = 1"))
    assert caught.value.observed == "pyproject.toml:2:12: not valid TOML: Invalid value"
    assert caught.value.detail == "2 | services = = 1\n               ^"


def test_toml_broken_at_its_end_points_at_the_last_line_that_says_something(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, table("services = [\n\n"))
    assert caught.value.observed.startswith("pyproject.toml:2:13: ")


def test_a_long_broken_line_is_shown_around_its_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, table(f"env = {{ A = '{'x' * 5000}', B = = }}"))
    quoted, caret = caught.value.detail.splitlines()
    assert len(quoted) < 130
    assert quoted[caret.index("^") :].startswith("= }")


def test_toml_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid):
        read(tmp_path, table(f"services = {'[' * 5000}{']' * 5000}"))

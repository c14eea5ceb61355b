"""Where values are found, and which of several counts."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import dotenv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envkit.secrets import Concealed, read
from envkit.secrets.sources import read_env
from tests.secrets.declaring import declared

PLACES = ("environment", "named file", ".env", "directory")


def put(root: Path, places: set[str]) -> dict[str, str]:
    """Put a value into each of these places; gives the environment."""
    environ = {}
    if "environment" in places:
        environ["KEY"] = "of environment"
    if "named file" in places:
        (root / "key.txt").write_text("of named file")
        environ["KEY_FILE"] = str(root / "key.txt")
    if ".env" in places:
        (root / ".env").write_text("KEY='of .env'\n")
    if "directory" in places:
        (root / "run").mkdir()
        (root / "run" / "KEY").write_text("of directory")
    return environ


@pytest.mark.parametrize("first", range(len(PLACES)))
def test_the_first_place_that_has_it_wins(tmp_path: Path, first: int) -> None:
    environ = put(tmp_path, set(PLACES[first:]))
    found = read(declared(tmp_path, "KEY = {}"), environ).found["KEY"]
    assert found.value.reveal() == f"of {PLACES[first]}"
    assert (
        found.source
        == (
            "the environment",
            f"{tmp_path / 'key.txt'} (KEY_FILE)",
            ".env line 1",
            str(tmp_path / "run" / "KEY"),
        )[first]
    )


def test_of_several_env_files_the_first_wins(tmp_path: Path) -> None:
    (tmp_path / ".env.local").write_text("A=local\n")
    (tmp_path / ".env").write_text("A=common\nB=common\n")
    config = declared(tmp_path, "A = {}\nB = {}", more="env_files = ['.env.local', '.env']")
    found = read(config, {}).found
    assert {n: (one.value.reveal(), one.source) for n, one in found.items()} == {
        "A": ("local", ".env.local line 1"),
        "B": ("common", ".env line 2"),
    }


def test_the_line_of_an_entry_is_found_behind_others(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('\n# first\n\nA="one\ntwo"\n\n  export KEY=x # why\nKEY2=y\n')
    config = declared(tmp_path, "A = {}\nKEY = {}\nKEY2 = {}")
    found = read(config, {}).found
    assert {name: one.lines for name, one in found.items()} == {
        "A": (4, 5),
        "KEY": (7, 7),
        "KEY2": (8, 8),
    }


def test_an_entry_without_an_equals_sign_is_no_value(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KEY\n")
    assert read(declared(tmp_path, "KEY = {}"), {}).found == {}


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("= =\nKEY='a\n")
    config = declared(tmp_path, "KEY = {}")
    assert read(config, {}).unread == (
        ".env line 1: not in the form NAME=value",
        ".env line 2: not in the form NAME=value",
    )


def test_a_named_file_that_is_not_there_is_told_of_the_secret_that_it_is_for(
    tmp_path: Path,
) -> None:
    config = declared(tmp_path, "KEY = {}\nOTHER = {}")
    sources = read(config, {"KEY_FILE": str(tmp_path / "gone")})
    assert sources.unread == ()
    assert sources.unread_of == {"KEY": (f"{tmp_path / 'gone'}: no such file",)}


def test_a_pipe_in_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    sources = read(declared(tmp_path, "KEY = {}"), {})
    assert (sources.found, sources.unread) == ({}, (f"{tmp_path / '.env'}: no regular file",))


def test_a_variable_that_is_not_set_stays_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=${NOWHERE}\nB=${HERE}/${C:-c}\n")
    entries = read_env(tmp_path / ".env", {"HERE": "here"}, [])
    assert [one.value.reveal() for one in entries] == ["${NOWHERE}", "here/c"]


def test_bytes_that_are_no_utf8_come_as_the_environment_has_them(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"KEY=a\xffb\n")
    (entry,) = read_env(tmp_path / ".env", {}, [])
    assert entry.value.reveal() == os.fsdecode(b"a\xffb")


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["A", "B", "=", " ", "\n", "'", '"', "#", "\\", "export ", "$", "{", "}", "ä", "\r\n"]
        ),
        max_size=30,
    ).map("".join)
)
def test_every_env_file_reads_as_python_dotenv_reads_it(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "some.env"
    path.write_bytes(text.encode())
    read_here = {one.name: one.value.reveal() for one in read_env(path, {}, [])}
    values = dotenv.dotenv_values(path, encoding="utf-8", interpolate=False)
    assert {n: v for n, v in values.items() if v is not None and "${" not in v} == {
        n: v for n, v in read_here.items() if "${" not in v
    }


def test_a_concealed_value_shows_itself_to_nobody() -> None:
    value = Concealed("correct-horse")
    shown = f"{value} {value!r} {value!s} {[value]} {value:>40}"
    assert "horse" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(value)

"""What `envkit.export` writes is read back by the real readers: python-dotenv and a shell."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys

import pytest
from dotenv import dotenv_values
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envkit.errors import UsageError
from envkit.export import FORMATS, dotenv, github, gitlab, renderer, shell

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,15}", fullmatch=True)
VALUES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")) | st.text(
    "a$ {}'\"\\\n\r\t#=:-`!%&"
)
# A name that no shell gives a meaning of its own.
VARIABLES = st.dictionaries(NAMES.map(lambda name: f"X_{name}"), VALUES, max_size=6)


def read_github_file(text: str) -> dict[str, str]:
    """Read a ``$GITHUB_ENV`` file the way the runner does, which splits at line feeds alone."""
    found: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        name, _, delimiter = line.partition("<<")
        block: list[str] = []
        while (inner := next(lines)) != delimiter:
            block.append(inner)
        found[name] = "\n".join(block)
    return found


@given(VARIABLES)
@example({"A": "${HOME}", "B": "$HOME ${X:-y}", "C": "${:-$}{"})
@example({"A": "ends with \\", "B": "it's", "C": ""})
def test_dotenv_comes_back_exactly_through_python_dotenv(variables: dict[str, str]) -> None:
    text = dotenv.render(variables)
    # newline=None is how open() reads a file: every kind of line end becomes one.
    stream = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8", newline=None)
    assert dotenv_values(stream=stream) == variables


def test_dotenv_leaves_a_plain_url_unquoted() -> None:
    url = "postgresql://user:pass@127.0.0.1:5432/db"
    assert dotenv.render({"DATABASE_URL": url}) == f"DATABASE_URL={url}\n"


@settings(max_examples=40, deadline=None)  # each example starts a shell
@given(VARIABLES)
@example({"X_A": "it's '' \\' $(exit 1) `exit 1` ${X} \n\n"})
def test_shell_comes_back_exactly_through_sh(variables: dict[str, str]) -> None:
    dump = "import os, sys; sys.stdout.buffer.write(b'\\0'.join(os.environb[n.encode()]"
    script = shell.render(variables) + 'exec "$@"\n'
    result = subprocess.run(
        [
            "sh",
            "-euc",
            script,
            "sh",
            sys.executable,
            "-ISc",
            f"{dump} for n in sys.argv[1:]))",
            *variables,
        ],
        capture_output=True,
        check=True,
    )
    values = result.stdout.split(b"\0") if variables else []
    assert values == [value.encode() for value in variables.values()]


def test_shell_keeps_the_order_given() -> None:
    assert shell.render({"B": "1", "A": "2"}) == "export B='1'\nexport A='2'\n"


@given(VARIABLES)
def test_shell_is_one_word_a_value_for_shlex(variables: dict[str, str]) -> None:
    words = [f"{name}={value}" for name, value in variables.items()]
    assert shlex.split(shell.render(variables)) == [
        word for pair in words for word in ("export", pair)
    ]


@given(VARIABLES)
@example({"A": "A<<envkit\nenvkit\nB=injected"})
def test_github_blocks_come_back_exactly(variables: dict[str, str]) -> None:
    assert read_github_file(github.render(variables)) == variables


def test_github_delimiter_differs_from_one_taken_from_an_earlier_rendering() -> None:
    delimiter = github.render({"A": "x"}).split("\n")[0].partition("<<")[2]
    value = f"x\n{delimiter}\nPATH=/evil"
    assert read_github_file(github.render({"A": value})) == {"A": value}


def test_github_rendering_is_the_same_for_the_same_values() -> None:
    assert github.render({"A": "x"}) == github.render({"A": "x"})


def test_masks_encode_what_a_workflow_command_would_misread() -> None:
    text = github.masks({"A": "50%\r\nB", "C": "shown"}, ["A"])
    assert text == "::add-mask::50%25%0D%0AB\n"


def test_masks_pass_over_names_that_have_no_value() -> None:
    assert github.masks({"A": ""}, ["A", "B"]) == ""


def test_masks_name_a_value_once() -> None:
    assert github.masks({"A": "s", "B": "s"}, ["A", "B"]) == "::add-mask::s\n"


def test_gitlab_writes_plain_lines() -> None:
    assert gitlab.render({"A": 'x="y"\'$', "B": ""}) == 'A=x="y"\'$\nB=\n'


@pytest.mark.parametrize(
    ("value", "what"), [("a\nb", "several lines"), ("a b", "white space"), ("a ", "white space")]
)
def test_gitlab_refuses_what_its_report_cannot_carry(value: str, what: str) -> None:
    with pytest.raises(UsageError, match=f"the value of A has {what}"):
        gitlab.render({"A": value})


@pytest.mark.parametrize(
    ("variables", "over"),
    [
        ({f"A{number}": "x" for number in range(20)}, ""),
        (
            {f"A{number}": "x" for number in range(21)},
            "21 variables, and GitLab takes 20 unless it is told otherwise",
        ),
        ({"A": "x" * 5117}, ""),
        ({"A": "x" * 5118}, "5121 bytes, and GitLab takes 5120 unless it is told otherwise"),
    ],
)
def test_what_is_too_much_for_gitlab_is_told(variables: dict[str, str], over: str) -> None:
    assert gitlab.excess(gitlab.render(variables)) == over


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_a_renderer(name: str) -> None:
    assert "127.0.0.1" in renderer(name)({"PGHOST": "127.0.0.1"})


def test_unknown_format_is_answered_with_the_list() -> None:
    with pytest.raises(UsageError) as caught:
        renderer("yaml")
    assert "shell, dotenv, github, gitlab" in caught.value.hint


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("variable", ["", "1A", "A-B", "A B", "A\n", "Ä"])
def test_every_format_refuses_a_name_no_shell_takes(name: str, variable: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        renderer(name)({variable: "x"})


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_refuses_nul(name: str) -> None:
    with pytest.raises(UsageError, match="NUL"):
        renderer(name)({"A": "x\0"})


def test_importing_the_package_loads_no_renderer() -> None:
    code = "import sys, envkit.export; print([m for m in sys.modules if 'envkit.export.' in m])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "[]"

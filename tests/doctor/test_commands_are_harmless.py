"""Names in a log are anybody's; what the doctor proposes to type must not run them."""

from __future__ import annotations

import shlex

import pytest

from envkit.doctor.model import Facts
from envkit.doctor.symptoms import from_text
from envkit.doctor.triage import findings_of

NASTY = "a$(id);id"


@pytest.mark.parametrize(
    "line",
    [
        f"No such image: {NASTY}",
        "Error response from daemon: Conflict. The container name "
        f'"/{NASTY}" is already in use by container "bbb".',
    ],
)
def test_command_holds_a_strange_name_as_one_word(line: str) -> None:
    for finding in findings_of(from_text(line), Facts()):
        command = finding.fix.command
        assert command == shlex.join(shlex.split(command))  # nothing in it is the shell's

"""What is the application's own, and no fault of the environment."""

from __future__ import annotations

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []

_CALL = r"^(?:E\b)?\s*TypeError: (?P<callee>[\w.<>]+)\(\)"


@rule(
    "app.signature-drift",
    texts=[
        rf"{_CALL} (?P<why>got an unexpected keyword argument '\w+')",
        rf"{_CALL} (?P<why>got multiple values for argument '\w+')",
        rf"{_CALL} (?P<why>missing \d+ required (?:positional|keyword-only) arguments?: .+)",
        rf"{_CALL} (?P<why>takes .+ but \d+ (?:was|were) given)",
        rf"{_CALL} (?P<why>got some positional-only arguments .+)",
    ],
    severity="info",
    layer="tool",
)
def signature_drift(seen: Seen) -> Finding:
    """A function was called with arguments that it does not take: this is code, not environment.

    Why: The function and its caller were changed at different times, or a library was updated.

    Fix: Change the call or the function; no server and no setting can mend this.
    """
    return seen.finding(
        title=f"{seen.get('callee')}() {seen.get('why')}",
        cause="this is your code, not the environment: the function and its caller do not agree",
        fix="change the call or the function; if it is a library's, see which release it was "
        "written for",
    )

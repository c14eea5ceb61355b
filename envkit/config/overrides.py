"""What the command line says."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from envkit.config.values import Values, Wrong, backends
from envkit.config.wording import nearest, quoted, show
from envkit.errors import UsageError
from envkit.model import SERVICES

__all__ = ["Overrides", "read_overrides"]


class Overrides(Struct, frozen=True, kw_only=True):
    """What the command line said; it wins over the environment and the file.

    Attributes:
        backend: One for all services, or ``postgres=docker,redis=embedded``.
        services: None or nothing at all keeps what is configured.
        backend_option: How the option is called where it was given, for origins and errors.
    """

    backend: str | None = None
    services: Sequence[str] | None = None
    backend_option: str = "--backend"


def read_overrides(overrides: Overrides) -> Values:
    """What the command line says, checked.

    Raises:
        UsageError: It names a service or backend that does not exist.
    """
    values: Values = {}
    named = overrides.services or ()
    for service in named:
        if service not in SERVICES:
            known = ", ".join(SERVICES)
            guess = nearest(service, SERVICES)
            raise UsageError(
                f"there is no service {quoted(service)}; there are {known}",
                hint=f"did you mean {guess}?" if guess else f"name one of {known}",
            )
    if named:
        chosen = tuple(name for name in SERVICES if name in named)
        values["services",] = (chosen, "command line")
    option = overrides.backend_option
    if overrides.backend is not None:
        try:
            read = backends(overrides.backend)
        except Wrong as wrong:
            raise UsageError(
                f"{option} is {show(wrong.value)}; expected {wrong.expected}",
                hint=f"write {option} {wrong.example}",
            ) from None
        values |= {key: (choice, option) for key, choice in read.items()}
    return values

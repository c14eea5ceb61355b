"""A lease in the environment of a test, and the environment as it was again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from envkit.api import Services
from envkit.variables import ADMIN_URLS, misleading

__all__ = [
    "Hidden",
    "environment_of",
    "led_elsewhere",
    "restore",
    "restored_environment",
    "shown_variables",
]

_PYTESTS_OWN = "PYTEST_CURRENT_TEST"


@contextmanager
def environment_of(services: Services) -> Iterator[None]:
    """Have these services in ``os.environ`` for the length of a ``with`` block."""
    endpoints = {name: services[name].endpoint for name in services}
    touched = [*services.env, *misleading(endpoints)]
    before = {name: os.environ.get(name) for name in touched}
    for name in misleading(endpoints):
        os.environ.pop(name, None)
    os.environ.update(services.env)
    try:
        yield
    finally:
        restore(before)


def led_elsewhere(services: Services) -> list[str]:
    """The variables of `environment_of` that something else has set meanwhile, for another server.

    What has the lease's password still leads to it, such as a URL with another scheme.
    """
    passwords = {secret for name in services for secret in services[name].endpoint.secrets}
    return [
        name
        for name, value in services.env.items()
        if any(one in value for one in passwords)
        and not any(one in os.environ.get(name, "") for one in passwords)
    ]


def restore(variables: dict[str, str | None]) -> None:
    """Give variables the values that they had, or none."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def restored_environment() -> Iterator[None]:
    """Undo every change of ``os.environ`` at the end of a ``with`` block, except pytest's own."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys() - {_PYTESTS_OWN}:
            del os.environ[name]
        os.environ.update({k: v for k, v in before.items() if k != _PYTESTS_OWN})


class Hidden(str):
    """A value that a failing test's report does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def shown_variables(services: Services) -> dict[str, str]:
    """The variables of a lease, for tests: those with a password in them hide it from reports."""
    passwords = {secret for name in services for secret in services[name].endpoint.secrets}
    return {
        name: Hidden(value)
        if any(p in value for p in passwords) or name in ADMIN_URLS.values()
        else value
        for name, value in services.env.items()
    }

"""Every error of ours has a rule, whose documentation is what ``envkit explain`` prints."""

from __future__ import annotations

import inspect

import pytest

from envkit import errors
from envkit.doctor.engine import all_rules

SLUGS = sorted(
    {
        one.slug
        for _, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, errors.EnvkitError)
    }
)


@pytest.mark.parametrize("slug", SLUGS)
def test_every_error_of_ours_has_a_rule(slug: str) -> None:
    assert slug in all_rules()

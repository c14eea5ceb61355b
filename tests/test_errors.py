"""One tree of errors, each with a slug of its own, the same on both sides of the socket."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from envkit import errors
from envkit.errors import EnvkitError, KeeperStartFailed, from_dict


def subclasses(cls: type[EnvkitError]) -> Iterator[type[EnvkitError]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from subclasses(sub)


LEAVES = [cls for cls in subclasses(EnvkitError) if not cls.__subclasses__()]


@pytest.mark.parametrize("cls", LEAVES)
def test_error_survives_the_way_from_keeper_to_client(cls: type[EnvkitError]) -> None:
    sent = cls("seen", hint="do", detail="evidence")
    received = from_dict(sent.as_dict())
    assert type(received) is cls
    assert received.as_dict() == sent.as_dict()


@pytest.mark.parametrize("cls", LEAVES)
def test_error_survives_pickling(cls: type[EnvkitError]) -> None:
    again = pickle.loads(pickle.dumps(cls("seen", hint="do", detail="evidence")))
    assert (type(again), str(again)) == (cls, str(cls("seen", hint="do", detail="evidence")))


def test_every_leaf_has_a_slug_of_its_own() -> None:
    slugs = [cls.slug for cls in LEAVES]
    assert len(slugs) == len(set(slugs))
    assert EnvkitError.slug not in slugs


@pytest.mark.parametrize("cls", LEAVES)
def test_drawing_of_the_tree_shows_class_and_slug(cls: type[EnvkitError]) -> None:
    drawing = errors.__doc__ or ""
    (line,) = (row for row in drawing.splitlines() if f" {cls.__name__} " in row)
    assert line.rstrip().endswith(cls.slug)


@pytest.mark.parametrize("cls", list(subclasses(EnvkitError)))
def test_every_error_is_public(cls: type[EnvkitError]) -> None:
    assert cls.__name__ in errors.__all__


def test_unknown_slug_of_another_version_is_still_an_error_of_ours() -> None:
    received = from_dict({"slug": "envkit.from.the.future", "observed": "seen"})
    assert type(received) is EnvkitError


def test_text_has_what_was_seen_the_evidence_and_what_to_type() -> None:
    error = KeeperStartFailed("Redis ended", hint="envkit logs redis", detail="one\ntwo")
    assert str(error) == (
        "Redis ended [envkit.keeper.start-failed]\n    one\n    two\n→ envkit logs redis"
    )

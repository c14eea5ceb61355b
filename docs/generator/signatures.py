"""Functions and classes as their users see them: how they are called, and what they say."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from docs.generator.docstrings import parse, rendered
from docs.generator.markdown import block, bullet, code

__all__ = ["class_parts", "function_parts"]

_WIDEST: Final = 88
#: Special methods that are called by hand, in a way.
_SPECIAL: Final = {"__getitem__": "[{}]"}


def function_parts(function: Callable[..., Any], name: str) -> Iterator[str]:
    """Signature and documentation."""
    yield block(_called(function, name))
    yield from rendered(function)


def class_parts(kind: type[Any]) -> Iterator[str]:
    """Documentation of a class, then of its public properties and methods."""
    yield from rendered(kind)
    members = dict(_members(kind))
    if found := {n: m for n, m in members.items() if isinstance(m, property)}:
        yield "**Properties**"
        yield "\n".join(bullet(_property(name, member)) for name, member in found.items())
    for name, member in members.items():
        if not isinstance(member, property):
            yield block(_method(member, name))
            yield from rendered(member)


def _members(kind: type[Any]) -> Iterator[tuple[str, Any]]:
    """What has a docstring, a base class's first, in the order in which it is written.

    Class methods make an object, which is not for users of these classes.
    """
    for one in reversed(kind.__mro__):
        for name, member in vars(one).items():
            public = not name.startswith("_") or name in _SPECIAL
            known = isinstance(member, property) or inspect.isfunction(member)
            if public and known and member.__doc__:
                yield name, member


def _property(name: str, member: property) -> str:
    gives = inspect.signature(member.fget).return_annotation if member.fget else ""
    said = " ".join(" ".join(parse(member).paragraphs).split()).replace("``", "`")
    return f"{code(f'.{name}: {_bare(str(gives))}')}: {said}"


def _method(function: Callable[..., Any], name: str) -> str:
    waits = "await " if inspect.iscoroutinefunction(function) else ""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    if name in _SPECIAL:
        name, (key,) = "", parameters
        return f"{_SPECIAL['__getitem__'].format(_bare(str(key)))} -> {_gives(function)}"
    return f"{waits}{_laid_out(f'.{name}', parameters, _gives(function))}"


def _called(function: Callable[..., Any], name: str) -> str:
    parameters = list(inspect.signature(function).parameters.values())
    return _laid_out(name, parameters, _gives(function))


def _gives(function: Callable[..., Any]) -> str:
    gives = _bare(str(inspect.signature(function).return_annotation))
    if inspect.isgeneratorfunction(inspect.unwrap(function)):  # made by `contextmanager`
        return gives.replace("Iterator[", "ContextManager[")
    return gives


def _laid_out(name: str, parameters: Sequence[inspect.Parameter], gives: str) -> str:
    """On one line, or on one for each parameter if that is too long."""
    shown = list(_with_star(parameters))
    line = f"{name}({', '.join(shown)}) -> {gives}"
    if len(line) <= _WIDEST:
        return line
    inside = "".join(f"    {one},\n" for one in shown)
    return f"{name}(\n{inside}) -> {gives}"


def _with_star(parameters: Sequence[inspect.Parameter]) -> Iterator[str]:
    """Parameters, and a bare star before those that have to be named."""
    named = False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not named:
            yield "*"
        named = named or one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        yield _bare(str(one))


def _bare(text: str) -> str:
    """Annotations without the quotes that postponed evaluation gives, strings with double ones."""
    text = re.sub(r"(^|: )'([^']*)'", r"\1\2", text)
    return re.sub(r"= '([^']*)'", r'= "\1"', text)

"""The templates of one server: each built once, by the first client that needs it.

A template is finished by one assignment, after the service has sealed it: nothing that was left
half done can ever be taken for one. The builder is a client; if it goes away, what it began is
removed and the next that waits takes over.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Hashable

from msgspec import Struct

from envkit.errors import EnvkitError, TemplateAbsent
from envkit.keeper.held import Held
from envkit.services.spec import Groundwork, Sealed

__all__ = ["Build", "Templates"]

# Of those with one name: a changed migration leaves the template of the last one useless, but
# somebody may still be running with it.
_OF_ONE_NAME = 3


class Build(Struct, frozen=True, kw_only=True):
    """An order to build a template.

    Attributes:
        key: Of the template.
        held: What is to be prepared.
    """

    key: str
    held: Held


class _Entry:
    """One template: being built, finished, or failed."""

    def __init__(self, name: str, builder: Hashable) -> None:
        self.name = name
        self.builder: Hashable | None = builder
        self.held: Held | None = None
        self.sealed: Sealed | None = None
        self.error: EnvkitError | None = None
        self.run = ""


class Templates:
    """All templates of one server.

    Args:
        begin: Makes what a builder prepares.
        seal: Makes a template of it.
        discard: Removes what was begun, or what was sealed.

    Attributes:
        ended: Whether the server is gone.
    """

    def __init__(
        self,
        begin: Callable[[str, Groundwork], Held],
        seal: Callable[[Held], Sealed],
        discard: Callable[[Held, Sealed | None], None],
    ) -> None:
        self._begin = begin
        self._seal = seal
        self._discard = discard
        self._changed = threading.Condition()
        self.ended = False
        self._entries: dict[str, _Entry] = {}

    def sealed(self, key: str) -> Sealed:
        """A finished template.

        Raises:
            TemplateAbsent: There is none.
        """
        with self._changed:
            entry = self._entries.get(key)
            if entry is None or entry.sealed is None:
                raise TemplateAbsent("there is no such template on this server")
            # The order of the entries is that of their last use.
            self._entries[key] = self._entries.pop(key)
            return entry.sealed

    def prepare(
        self, key: str, name: str, run: str, work: Groundwork, owner: Hashable
    ) -> Build | None:
        """None if the template is there, waited for if it is being built; else an order.

        Args:
            key: Of the template.
            name: That it has in the configuration.
            run: Whoever has another one tries again what has failed.
            work: For the admin.
            owner: The client.

        Raises:
            EnvkitError: What the builder of this run has failed with.
            TemplateAbsent: The server or the client is gone.
        """
        with self._changed:
            while True:
                if self.ended:
                    raise TemplateAbsent("the server of this template is gone")
                entry = self._entries.get(key)
                if entry is None:
                    break
                if entry.sealed is not None:
                    return None
                if entry.error is not None:
                    if entry.run == run:
                        raise entry.error
                    break
                self._changed.wait()
            entry = self._entries[key] = _Entry(name, owner)
        try:
            # Never the same name twice: what the last builder began may be there still.
            held = self._begin(f"template_{key}_{os.urandom(3).hex()}", work)
        except BaseException as error:
            self._fail(key, entry, run, error)
            raise
        with self._changed:
            if self._entries.get(key) is entry:
                entry.held = held
                return Build(key=key, held=held)
        self._remove(held, None)  # the client has gone away meanwhile
        raise TemplateAbsent("whoever wanted this template is gone")

    def commit(self, key: str, run: str, owner: Hashable) -> None:
        """What was ordered is done.

        Raises:
            TemplateFailed, TemplateShared, TemplateUntouched: It cannot be a template as it is.
            TemplateAbsent: It is not ordered from this client, or not any more: its server is gone.
        """
        entry, held = self._building(key, owner)
        try:
            sealed = self._seal(held)
        except BaseException as error:
            self._remove(held, None)
            self._fail(key, entry, run, error)
            if not held.up.alive:
                raise TemplateAbsent(f"the server went away under the template: {error}") from error
            raise
        with self._changed:
            if self.ended:
                raise TemplateAbsent("the server of this template is gone")
            entry.sealed, entry.builder = sealed, None
            self._changed.notify_all()
            old = self._superseded(entry.name)
        for one in old:
            assert one.held is not None
            self._remove(one.held, one.sealed)

    def give_up(self, key: str, run: str, owner: Hashable, error: EnvkitError) -> None:
        """What was ordered could not be done.

        Raises:
            TemplateAbsent: As `commit`.
        """
        entry, held = self._building(key, owner)
        self._remove(held, None)
        self._fail(key, entry, run, error)

    def end_of(self, owner: Hashable) -> None:
        """A client is gone: nobody will finish what it was building."""
        with self._changed:
            mine = [(k, e) for k, e in self._entries.items() if e.builder == owner]
            for key, _ in mine:
                del self._entries[key]
            self._changed.notify_all()
        for _, entry in mine:
            if entry.held is not None:
                self._remove(entry.held, None)

    def end(self) -> None:
        """The server is gone, and with it all that was made or begun there."""
        with self._changed:
            self.ended = True
            self._entries.clear()
            self._changed.notify_all()

    def _building(self, key: str, owner: Hashable) -> tuple[_Entry, Held]:
        with self._changed:
            entry = self._entries.get(key)
            if entry is None or entry.builder != owner or entry.held is None:
                raise TemplateAbsent("this client is not asked to build that template")
            entry.builder = None  # from here on its end removes nothing
            return entry, entry.held

    def _fail(self, key: str, entry: _Entry, run: str, error: BaseException) -> None:
        with self._changed:
            if self._entries.get(key) is entry:
                if isinstance(error, EnvkitError) and run:
                    entry.error, entry.run, entry.builder = error, run, None
                else:
                    del self._entries[key]
            self._changed.notify_all()

    def _superseded(self, name: str) -> list[_Entry]:
        alike = [k for k, e in self._entries.items() if e.name == name and e.sealed is not None]
        return [self._entries.pop(key) for key in alike[:-_OF_ONE_NAME]]

    def _remove(self, held: Held, sealed: Sealed | None) -> None:
        try:
            self._discard(held, sealed)
        except Exception:
            traceback.print_exc()  # it goes with the server at the latest

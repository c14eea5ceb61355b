"""The client's side of templates: which one a lease is a copy of, and making it if need be.

The client that needs a template first prepares it, with its own environment, directory and
programs; the keeper sees to it that nobody else does meanwhile.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from envkit.config import Config
from envkit.config.wording import nearest
from envkit.declared import EMPTY, TemplateSource
from envkit.errors import EnvkitError, KeeperLost, TemplateAbsent, TemplateFailed, UsageError
from envkit.model import Isolation, Lease, ServiceName, Want
from envkit.services.spec import Groundwork
from envkit.templates.sources import key_of

if TYPE_CHECKING:
    from envkit.keeper.client import Client

__all__ = ["Templates"]

# A keeper may lose what it had, with its server, between the answer and the next question.
_TRIES = 3


class Templates:
    """The templates of one project, as its files are when they are first asked for.

    Args:
        config: Of the project.
        run: What the processes of one run have in common; they share what has failed, and what
            only this run may know. One of its own if there is none.
    """

    def __init__(self, config: Config, run: str = "") -> None:
        self._config = config
        self._run = run or os.urandom(8).hex()
        self._keys: dict[tuple[ServiceName, str], str] = {}

    def wants(
        self,
        services: Iterable[ServiceName],
        *,
        template: str = "",
        version: str = "",
        isolation: Isolation = "auto",
    ) -> list[Want]:
        """What to ask the keeper for.

        Args:
            services: Which.
            template: A name from the configuration, for those services that have one of it; the
                others keep their usual one. ``empty`` for none at all.
            version: Of Postgres.
            isolation: Of Redis.

        Raises:
            UsageError: None of the services has such a template.
            ConfigInvalid: A file that a template is made from cannot be read.
        """
        chosen = list(services)
        if template and template != EMPTY:
            self._check(chosen, template)
        return [
            Want(
                service=service,
                template=self._key(service, template),
                version=version if service == "postgres" else "",
                isolation=isolation if service == "redis" else "auto",
            )
            for service in chosen
        ]

    def ensure(self, client: Client, wants: Sequence[Want]) -> None:
        """Have the templates of these built, by this client or by another of the same run.

        Args:
            client: Connected to the keeper.
            wants: From `wants`.

        Raises:
            TemplateFailed, TemplateTimeout, TemplateShared, TemplateUntouched: What prepares one
                did not do it.
            ExtensionMissing: The server does not have what it needs.
            UnavailableError, StartError: A server could not be had.
        """
        for want in wants:
            if want.template:
                with client.building:
                    self._ensure(client, want)

    def take(self, client: Client, wants: Sequence[Want]) -> Lease:
        """A lease, with its templates built first if they are not there.

        Raises:
            EnvkitError: As `ensure`, and as `Client.take`.
        """
        for _ in range(_TRIES):
            try:
                return client.take(wants)
            except TemplateAbsent:
                # The server may go away while a template is built, and the template with it.
                with contextlib.suppress(TemplateAbsent):
                    self.ensure(client, wants)
        return client.take(wants)

    def export(self, client: Client, wants: Sequence[Want], lease: str = "") -> Lease:
        """The long-lived lease; see `Client.export`."""
        try:
            return client.export(wants, lease)
        except TemplateAbsent:
            up = {row["service"] for row in client.status()["services"]}
            self.ensure(client, [want for want in wants if want.service in up])
        return client.export(wants, lease)

    def _ensure(self, client: Client, want: Want) -> None:
        name, source = self._source(want)
        work = Groundwork(
            extensions=source.extensions, roles=source.roles, migrated=bool(source.migrate)
        )
        where = client.prepare(want, name=name, run=self._run, work=work)
        if where is None:
            return
        from envkit.templates.building import prepare

        try:
            prepare(where, source, self._config)
            self._refuse_changed(want, name, source)
        except EnvkitError as error:
            try:
                client.give_up(want, error, run=self._run)
            except KeeperLost:  # which is why it failed
                raise
            except EnvkitError:  # what is raised is worth more
                raise error from None
            raise
        except BaseException as error:
            gone = TemplateFailed(f"preparing the template was interrupted ({error!r})")
            with contextlib.suppress(EnvkitError):
                client.give_up(want, gone, run="")
            raise
        client.commit(want, run=self._run)

    def _refuse_changed(self, want: Want, name: str, source: TemplateSource) -> None:
        """Make sure that a template is what its key says."""
        if key_of(want.service, name, source, self._config, self._run) != want.template:
            raise TemplateFailed(
                f"files that the template of {want.service} is made from have changed since this "
                "run asked for it",
                hint="run it again; if the migration itself writes files, name those that it "
                f'depends on: watch = ["…"] in [tool.envkit.{want.service}]',
            )

    def _source(self, want: Want) -> tuple[str, TemplateSource]:
        for (service, name), key in self._keys.items():
            if service == want.service and key == want.template:
                return name, self._config.templates[service][name]
        raise UsageError("this template is not one of this project's")

    def _key(self, service: ServiceName, template: str) -> str:
        named = self._config.templates.get(service, {})
        if template == EMPTY or (not template and "" not in named):
            return ""
        name = template if template in named else ""
        if (service, name) not in self._keys:
            source = named.get(name, TemplateSource())
            self._keys[service, name] = (
                "" if source.is_empty else key_of(service, name, source, self._config, self._run)
            )
        return self._keys[service, name]

    def _check(self, services: Sequence[ServiceName], template: str) -> None:
        if any(template in self._config.templates.get(service, {}) for service in services):
            return
        known = sorted(
            {name for s in services for name in self._config.templates.get(s, {}) if name}
        )
        guess = nearest(template, [*known, EMPTY])
        raise UsageError(
            f"there is no template {template!r} of {', '.join(services)}; "
            f"there are {', '.join([*known, EMPTY])}",
            hint=f"did you mean {guess!r}?"
            if guess
            else f"[tool.envkit.{services[0]}.templates.{template}] declares one",
        )

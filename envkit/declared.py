"""What a project declares about itself beside its servers: secrets, and categories of tests.

No part of `Settings`: whoever declares something else still shares the servers.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from msgspec import Struct

__all__ = [
    "ALGORITHMS",
    "EMPTY",
    "KINDS",
    "PLACES",
    "Category",
    "Place",
    "Secret",
    "SecretKind",
    "TemplateSource",
]

SecretKind = Literal["opaque", "jwt", "url", "dsn", "pem", "one-of"]
#: Where a secret has to be there: ``ci`` is where CI is "1" or "true", ``local`` everywhere else.
Place = Literal["ci", "local"]

#: The name of the template of nothing, which every service has.
EMPTY: Final = "empty"
KINDS: Final[tuple[SecretKind, ...]] = get_args(SecretKind)
PLACES: Final[tuple[Place, ...]] = get_args(Place)
# https://www.rfc-editor.org/rfc/rfc7518#section-3.1, and EdDSA of RFC 8037
ALGORITHMS: Final = tuple(
    [f"{family}{bits}" for family in ("HS", "RS", "ES", "PS") for bits in (256, 384, 512)]
    + ["EdDSA"]
)


class Secret(Struct, frozen=True, kw_only=True):
    """One entry of ``[tool.envkit.secrets]``.

    Attributes:
        name: The environment variable that holds it.
        kind: What the value has to be: ``opaque`` is any text, ``jwt`` a key that signs tokens,
            ``url`` any URL, ``dsn`` the URL of a database, ``pem`` a key or certificate, ``one-of``
            a word of ``one_of``.
        algorithm: The algorithm that a ``jwt`` key is for; makes it one. ``HS256`` if a ``jwt`` has
            none.
        one_of: The values that are allowed; makes it a ``one-of``.
        min_length: The least length, in bytes. If not given, what the kind asks for.
        min_entropy: The least estimated randomness, in bits. If not given, what the kind asks for.
        pattern: A regular expression of Python's that the whole value has to match.
        required_in: Where it is an error that it is missing: ``ci`` is where ``CI`` is ``1`` or
            ``true``, ``local`` everywhere else.
        differs_from: Names of other secrets that must have another value.
        generate: Whether envkit may make a value for local use. Only random text is ever made:
            ``opaque``, and ``jwt`` with an algorithm ``HS…``.
    """

    name: str
    kind: SecretKind = "opaque"
    algorithm: str = ""
    one_of: tuple[str, ...] = ()
    min_length: int = 0
    min_entropy: float = 0.0
    pattern: str = ""
    required_in: tuple[Place, ...] = PLACES
    differs_from: tuple[str, ...] = ()
    generate: bool = True

    @property
    def is_random_text(self) -> bool:
        """Whether any random text of sufficient length is such a secret."""
        return self.kind == "opaque" or (self.kind == "jwt" and self.algorithm.startswith("HS"))


class TemplateSource(Struct, frozen=True, kw_only=True):
    """What a service's template is made from; a template of nothing is an empty namespace.

    Attributes:
        schema: Files of SQL, or globs of them, relative to the project. They are applied in this
            order, the files of one glob sorted; for Postgres with psql where there is one, so what
            ``pg_dump`` writes will do.
        migrate: A command for the shell, which finds the template in ``DATABASE_URL``,
            ``REDIS_URL`` or ``CLICKHOUSE_URL``; or a Python function as ``module:function``, which
            gets that URL if it takes an argument.
        seed: Files that are applied last (for Redis of commands as redis-cli takes them), or a
            command as of ``migrate``.
        watch: Files, directories and globs that the outcome of commands depends on. If not given,
            what lies in directories named ``migrations``, ``alembic``, ``versions`` and the like.
        extensions: Extensions of Postgres, made by an admin before anything else. One that the
            server lacks is told before any test.
        roles: Roles of Postgres that the schema grants to, made where they are missing. They belong
            to the whole server, so a migration may not make them.
        migrate_timeout: How long each command may take.
    """

    schema: tuple[str, ...] = ()
    migrate: str = ""
    seed: tuple[str, ...] | str = ()
    watch: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    migrate_timeout: float = 300.0

    @property
    def is_empty(self) -> bool:
        return not (self.schema or self.migrate or self.seed or self.extensions or self.roles)


class Category(Struct, frozen=True, kw_only=True):
    """One entry of ``[tool.envkit.categories]``: a named group of tests.

    Attributes:
        paths: Files and directories that pytest is given, relative to the project. If not given,
            what pytest takes itself.
        markers: A marker expression, as for ``pytest -m``. If not given, all tests are meant.
        needs: Services, and names of declared secrets, that have to be there; else nothing of the
            category runs.
        after: Categories that run before this one, which is blocked if one of them is not fine.
        args: Further arguments for pytest.
        timeout: How long the category may take before it is ended; 0 sets no limit.
        budget: How long it should take at most. A category that takes longer says so, with its
            slowest tests; 0 sets no budget.
        allow_empty: Whether it is fine that no test is selected.
    """

    name: str
    paths: tuple[str, ...] = ()
    markers: str = ""
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    timeout: float = 0.0
    budget: float = 0.0
    allow_empty: bool = False

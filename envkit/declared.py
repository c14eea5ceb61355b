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
        kind: What it has to be; ``opaque`` is any text.
        algorithm: Of a ``jwt`` key: HS256 and so on; empty for other kinds.
        one_of: What a ``one-of`` may be; empty for other kinds.
        min_length: In bytes; 0 leaves it to the kind.
        min_entropy: In bits; 0 leaves it to the kind.
        pattern: A regular expression for the whole value; empty for any.
        required_in: Where it is an error that it is missing.
        differs_from: Names of other secrets that must have another value.
        generate: Whether envkit may make a value for local use.
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
        schema: Files that are applied in this order; globs are sorted. Relative to the project.
        migrate: A command for the shell, or ``module:function`` of Python's.
        seed: Files that are applied after that, or a command as ``migrate``.
        watch: Files, directories and globs that the outcome of commands depends on.
        extensions: Of Postgres, made before anything else.
        roles: Of Postgres, which all databases share; made where they are missing.
        migrate_timeout: Seconds that each command may take.
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
        paths: Given to pytest, relative to the project; none means what pytest takes itself.
        markers: A marker expression, as for ``pytest -m``; empty for all.
        needs: Services and names of declared secrets that have to be there.
        after: Categories that have to pass before this one runs.
        args: Further arguments for pytest.
        timeout: Seconds after which the run is ended; 0 sets no limit.
        budget: Seconds that it should not take longer than; 0 sets none.
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

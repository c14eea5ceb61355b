"""Secrets and categories of tests: what can be declared, and how wrong entries are answered."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from envkit.config import load
from envkit.declared import ALGORITHMS, PLACES, Category, Secret
from envkit.errors import ConfigInvalid, ConfigUnknownKey
from envkit.model import Settings
from tests.config.reading import read, table
from tests.config.wrong import DECLARATIONS


def test_every_key_of_a_secret_can_be_declared(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        [tool.envkit.secrets]
        OTHER = {}
        [tool.envkit.secrets.KEY]
        kind = "opaque"
        min_length = 20
        min_entropy = 64
        pattern = '[a-z]+'
        required_in = ["local", "ci"]
        differs_from = ["OTHER"]
        generate = false
        """,
    )
    assert config.secrets == {
        "OTHER": Secret(name="OTHER"),
        "KEY": Secret(
            name="KEY",
            min_length=20,
            min_entropy=64.0,
            pattern="[a-z]+",
            required_in=PLACES,
            differs_from=("OTHER",),
            generate=False,
        ),
    }
    assert config.origins["secrets.KEY"] == "pyproject.toml:4"


def test_every_key_of_a_category_can_be_declared(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        [tool.envkit.secrets]
        KEY = {}
        [tool.envkit.categories.unit]
        [tool.envkit.categories.database]
        paths = ["tests/database", "tests/sql"]
        markers = "not slow"
        needs = ["postgres", "KEY"]
        after = ["unit"]
        args = ["-n", "2", "-n", "2"]
        timeout = "10m"
        budget = 90
        allow_empty = true
        """,
    )
    assert config.categories == {
        "unit": Category(name="unit"),
        "database": Category(
            name="database",
            paths=("tests/database", "tests/sql"),
            markers="not slow",
            needs=("postgres", "KEY"),
            after=("unit",),
            args=("-n", "2", "-n", "2"),
            timeout=600.0,
            budget=90.0,
            allow_empty=True,
        ),
    }
    assert config.origins["categories.database"] == "pyproject.toml:5"


def test_places_of_secrets_have_defaults_and_can_be_configured(tmp_path: Path) -> None:
    before = load(tmp_path, environ={})
    after = read(tmp_path, table('env_files = ["a/.env", ".env"]\nsecret_dirs = []'))
    assert (before.env_files, before.secret_dirs) == ((".env",), ("/run/secrets",))
    assert (after.env_files, after.secret_dirs) == (("a/.env", ".env"), ())
    assert after.origins["env_files"] == "pyproject.toml:2"


def test_declarations_do_not_decide_which_servers_are_shared(tmp_path: Path) -> None:
    config = read(
        tmp_path, table("secrets.KEY = {}\ncategories.unit = {}\nenv_files = []\nsecret_dirs = []")
    )
    assert config.settings == Settings()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{}", Secret(name="KEY", generate=True)),
        ('{ algorithm = "HS512" }', Secret(name="KEY", kind="jwt", algorithm="HS512")),
        ('{ kind = "jwt" }', Secret(name="KEY", kind="jwt", algorithm="HS256")),
        (
            '{ algorithm = "ES256" }',
            Secret(name="KEY", kind="jwt", algorithm="ES256", generate=False),
        ),
        (
            '{ one_of = ["a", "b"] }',
            Secret(name="KEY", kind="one-of", one_of=("a", "b"), generate=False),
        ),
        ('{ kind = "url" }', Secret(name="KEY", kind="url", generate=False)),
        ("{ required_in = [] }", Secret(name="KEY", required_in=())),
    ],
)
def test_what_is_not_written_follows_from_what_is(
    tmp_path: Path, written: str, expected: Secret
) -> None:
    assert read(tmp_path, table(f"secrets.KEY = {written}")).secrets == {"KEY": expected}


@pytest.mark.parametrize(
    ("text", "observed", "hint"),
    [
        (
            'secrets.KEY.algorithm = "HS265"',
            'pyproject.toml:2: tool.envkit.secrets.KEY.algorithm is "HS265" (a string); expected'
            f" one of {', '.join(ALGORITHMS)}",
            'write algorithm = "HS256"',
        ),
        (
            'secrets.KEY = { kind = "url", algorithm = "HS256" }',
            'pyproject.toml:2: tool.envkit.secrets.KEY.kind is "url" (a string); expected "jwt",'
            " because algorithm is there",
            'write kind = "jwt"',
        ),
        (
            'secrets.KEY = { one_of = ["a"], algorithm = "HS256" }',
            'pyproject.toml:2: tool.envkit.secrets.KEY.one_of is ["a"]; expected nothing beside'
            " algorithm",
            "remove one_of or algorithm",
        ),
        (
            'secrets.KEY.kind = "one-of"',
            'pyproject.toml:2: tool.envkit.secrets.KEY.kind is "one-of"; expected one_of = [...]'
            " beside it",
            'write one_of = ["staging", "test"]',
        ),
        (
            'secrets.KEY = { kind = "pem", generate = true }',
            "pyproject.toml:2: tool.envkit.secrets.KEY.generate is true; expected false: envkit"
            " makes random text, and this secret is something else",
            "write generate = false",
        ),
        (
            'secrets.JWT_SECRET = {}\nsecrets.KEY.differs_from = ["JWT_SECERT"]',
            'pyproject.toml:3: tool.envkit.secrets.KEY.differs_from[0] is "JWT_SECERT" (a string);'
            " expected another declared secret (JWT_SECRET)",
            'write differs_from = ["JWT_SECRET"]',
        ),
        (
            "secrets.KEY = 1",
            "pyproject.toml:2: tool.envkit.secrets.KEY is 1 (an integer); expected a table such as"
            " { min_length = 32 }",
            "write KEY = { min_length = 32 }",
        ),
        (
            "secrets.KEY.pattern = '('",
            'pyproject.toml:2: tool.envkit.secrets.KEY.pattern is "(" (a string); expected a'
            " regular expression of Python's (missing ), unterminated subpattern at position 0)",
            "write pattern = '[A-Za-z0-9_-]{43}'",
        ),
        (
            'secrets.KEY = {}\ncategories.db.needs = ["postgers", "KEY"]',
            'pyproject.toml:3: tool.envkit.categories.db.needs[0] is "postgers" (a string);'
            " expected a service or secret (postgres, redis, clickhouse, KEY)",
            'write needs = ["postgres", "KEY"]',
        ),
        (
            'categories.unit = {}\ncategories.db.after = ["nuit"]',
            'pyproject.toml:3: tool.envkit.categories.db.after[0] is "nuit" (a string); expected'
            " another category (unit)",
            'write after = ["unit"]',
        ),
        (
            'categories.a.after = ["b"]\ncategories.b.after = ["c"]\ncategories.c.after = ["b"]',
            'pyproject.toml:3: tool.envkit.categories.b.after[0] is "c"; expected no circle, and'
            " here is one: b after c after b",
            "write after = []",
        ),
    ],
)
def test_a_wrong_declaration_says_where_what_and_what_instead(
    tmp_path: Path, text: str, observed: str, hint: str
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, table(text))
    assert (caught.value.observed, caught.value.hint) == (observed, hint)


@pytest.mark.parametrize("text", DECLARATIONS)
def test_declarations_that_do_not_fit_are_refused_with_their_line(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(ConfigInvalid, match=r"^pyproject\.toml:3: tool\.envkit\."):
        read(tmp_path, table(f"linger = 0\n{text}"))


@pytest.mark.parametrize(
    ("text", "observed", "hint"),
    [
        (
            "[tool.envkit.secrets.KEY]\nmin_lenght = 3",
            "pyproject.toml:3: tool.envkit.secrets.KEY has no key 'min_lenght'",
            "did you mean 'min_length'? Known keys: kind, algorithm, ",
        ),
        (
            "[tool.envkit.categories.db]\npath = ['tests']",
            "pyproject.toml:3: tool.envkit.categories.db has no key 'path'",
            "did you mean 'paths'? Known keys: paths, markers, ",
        ),
        (
            "secret.KEY = {}",
            "pyproject.toml:2: tool.envkit has no key 'secret'",
            "did you mean 'secrets'? Known keys: services, ",
        ),
    ],
)
def test_an_unknown_key_of_a_declaration_says_what_was_meant(
    tmp_path: Path, text: str, observed: str, hint: str
) -> None:
    with pytest.raises(ConfigUnknownKey) as caught:
        read(tmp_path, table(text))
    assert caught.value.observed == observed
    assert caught.value.hint.startswith(hint)


def test_a_pattern_that_python_cannot_read_is_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="regular expression"):
        read(tmp_path, table(f"secrets.KEY.pattern = '{'(' * 5000}{')' * 5000}'"))


NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True)
SECRETS = st.builds(
    Secret,
    name=NAMES,
    kind=st.sampled_from(["opaque", "url", "dsn", "pem"]),
    min_length=st.integers(0, 4096),
    min_entropy=st.floats(0, 4096),
    pattern=st.sampled_from(["", r"[a-z]+", r"\d{3}|\"'#"]),
    required_in=st.sampled_from([(), ("ci",), ("local",), PLACES]),
    generate=st.just(False),
)
CATEGORIES = st.builds(
    Category,
    name=NAMES,
    paths=st.lists(st.from_regex(r"[a-z\"' #/]{0,8}x", fullmatch=True), unique=True).map(tuple),
    markers=st.sampled_from(["", "not slow", "a and (b or c)"]),
    needs=st.sampled_from([(), ("redis",), ("postgres", "clickhouse")]),
    timeout=st.floats(0, 3600).map(lambda seconds: round(seconds, 3)),
    allow_empty=st.booleans(),
)


def as_table(value: Secret | Category) -> dict[str, object]:
    fields = structs.asdict(value)
    unset = ("name", "algorithm", "one_of")
    return {
        key: list(held) if isinstance(held, tuple) else held
        for key, held in fields.items()
        if key not in unset and not (key in ("min_length", "min_entropy") and not held)
    }


@settings(deadline=None)
@given(st.lists(SECRETS), st.lists(CATEGORIES))
def test_declarations_written_as_toml_come_back(
    secrets: list[Secret], categories: list[Category]
) -> None:
    declared = {one.name: one for one in secrets}
    groups = {one.name: one for one in categories}
    text = tomlkit.dumps(
        {
            "secrets": {name: as_table(one) for name, one in declared.items()},
            "categories": {name: as_table(one) for name, one in groups.items()},
        }
    )
    with tempfile.TemporaryDirectory() as place:
        config = read(Path(place), text, name="envkit.toml")
    assert (config.secrets, config.categories) == (declared, groups)

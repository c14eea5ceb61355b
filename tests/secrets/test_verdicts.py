"""What is found wrong with values, and what is not."""

from __future__ import annotations

import itertools
import secrets
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envkit.declared import Secret
from envkit.secrets import Concealed, Found, Sources
from envkit.secrets.entropy import estimated_bits
from envkit.secrets.faults import Standard, fault
from envkit.secrets.judge import judge
from tests.secrets.declaring import GOOD, slugs, verdicts

HS256 = 'KEY = { algorithm = "HS256" }'


def test_a_project_that_declares_nothing_has_nothing_wrong(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KEY=changeme\n")
    assert slugs(tmp_path, "") == []


@pytest.mark.parametrize(
    ("required_in", "ci", "expected"),
    [
        ('["ci", "local"]', "", ["secret.missing"]),
        ('["ci", "local"]', "true", ["secret.missing"]),
        ('["ci"]', "true", ["secret.missing"]),
        ('["ci"]', "1", ["secret.missing"]),
        ('["ci"]', "false", []),
        ('["ci"]', "", []),
        ('["local"]', "true", []),
        ("[]", "true", []),
    ],
)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_what_is_required_depends_on_the_place(
    tmp_path: Path, required_in: str, ci: str, expected: list[str], value: str | None
) -> None:
    environ = {"CI": ci} | ({} if value is None else {"KEY": value})
    found = slugs(tmp_path, f"KEY = {{ required_in = {required_in} }}", **environ)
    assert found == (expected if value is None else ["secret.empty"] * len(expected))


PLACEHOLDERS = (
    *("changeme", "CHANGE_ME", "change-me-please", "changeit", "<your secret>", "${JWT_SECRET}"),
    *("$JWT_SECRET", "$(openssl rand)", "{{ secret }}", "xxx", "XXXXXXXXXXXXXXXX", "xxxx-xxxx"),
    *("your-secret-key", "your_256_bit_secret", "my-secret-key", "TODO", "none", "null", "***"),
    *("replace-me", "replace_with_a_real_key", "put-your-key-here", "...", "secret", "password"),
    *("jwt_secret", "jwt-secret-key", "api-key", "supersecret", "placeholder", "[secret]"),
    *("'changeme'", "  changeme\n", "insert-key", "%SECRET%", "undefined"),
)


@pytest.mark.parametrize("value", PLACEHOLDERS)
def test_a_placeholder_is_named_as_one_before_anything_else(tmp_path: Path, value: str) -> None:
    assert slugs(tmp_path, HS256, KEY=value) == ["secret.placeholder"]


FINE = (
    "a183a72cbdb1ab6850e92b37c9bf10a5f4837cb9007e7b219753fe7dcc4ca1bd",
    "6fcaf974f3986b178e46336001385d2c",
    "lnpM-Jffl5uSjSYp-23-kPemh8EWCpTGrkJdcnjC2sU",
    "test-secret-for-unit-tests-only-0123456789",
    "correct horse battery staple and more of it",
    "not-a-real-secret-but-long-enough-for-HS256",
    "this-is-a-changeme-value-that-nobody-changed",
    "<" + GOOD,
    "{" + GOOD + "}",
    GOOD + "$",
    "pässwörd-mit-umlauten-und-ziemlich-lang",
    "cd469cd1-8a59-4e43-9b77-f42f62838e1d",
)


@pytest.mark.parametrize("value", FINE)
def test_a_good_value_is_left_alone(tmp_path: Path, value: str) -> None:
    assert slugs(tmp_path, HS256, KEY=value) == []


@settings(deadline=None)
@given(
    st.sampled_from([secrets.token_hex, secrets.token_urlsafe, secrets.token_bytes]),
    st.integers(16, 64),
)
def test_random_values_are_good(make: object, size: int) -> None:
    value = make(size)  # type: ignore[operator] # one of those above
    text = value.hex().upper() if isinstance(value, bytes) else value
    secret = Secret(name="KEY", min_length=16, min_entropy=8.0 * size * 0.9)
    assert fault(secret, text, Standard()) is None


@pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_key_needs_as_many_bytes_as_its_hash_has(
    tmp_path: Path, algorithm: str, least: int
) -> None:
    key = (GOOD + GOOD[::-1])[:least]
    declaration = f'KEY = {{ algorithm = "{algorithm}" }}'
    assert slugs(tmp_path, declaration, KEY=key) == []
    (verdict,) = verdicts(tmp_path, declaration, KEY=key[1:])
    assert verdict.slug == "secret.short"
    assert verdict.observed == f"KEY has fewer than the {least} bytes that {algorithm} needs"


def test_bytes_are_counted_and_not_characters(tmp_path: Path) -> None:
    value = "äöüßéèñçøåœ€"
    assert slugs(tmp_path, "KEY = { min_length = 25 }", KEY=value) == []
    assert slugs(tmp_path, "KEY = { min_length = 26 }", KEY=value) == ["secret.short"]


@pytest.mark.parametrize(
    "value",
    [
        *("a" * 64, "ab" * 32, "0123456789abcdef" * 4, "12345678901234567890123456789012"),
        *("secretsecretsecretsecretsecretsecret", "passwordpasswordpasswordpassword1"),
        "abcdefghijklmnopqrstuvwxyz0123456789",
    ],
)
def test_a_value_that_anybody_guesses_is_a_warning(tmp_path: Path, value: str) -> None:
    (verdict,) = verdicts(tmp_path, HS256, KEY=value)
    assert (verdict.slug, verdict.severity) == ("secret.low-entropy", "warning")


def test_less_entropy_than_declared_is_an_error(tmp_path: Path) -> None:
    (verdict,) = verdicts(tmp_path, "KEY = { min_entropy = 200 }", KEY=secrets.token_hex(16))
    assert (verdict.slug, verdict.severity) == ("secret.low-entropy", "error")


@given(st.text(max_size=300))
@settings(deadline=None)
def test_entropy_is_a_finite_number_for_every_text(text: str) -> None:
    assert 0 <= estimated_bits(text) <= 8 * max(1, len(text))


@pytest.mark.parametrize(
    ("value", "slug", "words"),
    [
        (f'"{GOOD}"', "secret.quoted", "double quotes"),
        (f"'{GOOD}'", "secret.quoted", "single quotes"),
        (f"{GOOD}\n", "secret.whitespace", "ends with a line break"),
        (f" {GOOD}", "secret.whitespace", "blanks before"),
        (f"\t{GOOD} ", "secret.whitespace", "blanks before and after"),
    ],
)
def test_what_was_put_around_a_value_is_told(
    tmp_path: Path, value: str, slug: str, words: str
) -> None:
    (verdict,) = verdicts(tmp_path, HS256, KEY=value)
    assert (verdict.slug, verdict.severity) == (slug, "error")
    assert words in verdict.observed


@pytest.mark.parametrize("value", [f'"{GOOD}', f"{GOOD}'", f'{GOOD[:16]}"{GOOD[16:]}', f"o'{GOOD}"])
def test_a_single_quotation_mark_is_part_of_the_value(tmp_path: Path, value: str) -> None:
    assert slugs(tmp_path, HS256, KEY=value) == []


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_line_break_at_the_end_of_a_file_is_a_warning(tmp_path: Path, ending: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "KEY").write_bytes(f"{GOOD}{ending}".encode())
    (verdict,) = verdicts(tmp_path, HS256)
    assert (verdict.slug, verdict.severity) == ("secret.whitespace", "warning")
    assert verdict.source == str(tmp_path / "run" / "KEY")
    subprocess.run(verdict.command, shell=True, check=True, cwd=tmp_path)
    assert slugs(tmp_path, HS256) == []


def test_the_value_of_the_example_file_is_a_placeholder(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(f"KEY={GOOD}\nURL=http://localhost:8000\n")
    declaration = f"{HS256}\nURL.kind = 'url'"
    environ = {"KEY": GOOD, "URL": "http://localhost:8000"}
    (verdict,) = verdicts(tmp_path, declaration, **environ)
    assert (verdict.slug, verdict.name) == ("secret.placeholder", "KEY")


URL_CASES = [
    ("url", "http://localhost:8001", []),
    ("url", "https://auth.internal/path?x=1", []),
    ("url", "http://auth:8000", []),
    ("url", "http://localhost:8000/live/production", []),
    ("url", "https://auth.staging.acme.dev", []),
    ("url", "localhost:8001", ["secret.malformed"]),
    ("url", "auth.acme.dev/path", ["secret.malformed"]),
    ("url", "http://", ["secret.malformed"]),
    ("url", "http:///path", ["secret.malformed"]),
    ("url", "http://local host:8001", ["secret.malformed"]),
    ("url", "http://localhost:port", ["secret.malformed"]),
    ("url", "http://localhost:99999", ["secret.malformed"]),
    ("url", "http://[::1", ["secret.malformed"]),
    ("url", "https://auth.prod.acme.dev", ["secret.production"]),
    ("url", "https://api.live.acme.dev", ["secret.production"]),
    ("url", "https://your-domain.com/auth", ["secret.placeholder"]),
    ("url", "https://<host>/auth", ["secret.placeholder"]),
    ("url", "https://${HOST}/auth", ["secret.placeholder"]),
    ("dsn", "postgresql://app:p%40ss@localhost/app_test", []),
    ("dsn", "postgres+asyncpg://app:x@db:5432/app", []),
    ("dsn", "redis://cache:6379/1", []),
    ("dsn", "mysql://root:x@localhost/app", []),
    ("dsn", "sqlite:///app.db", []),
    ("dsn", "amqp://guest:guest@mq//", []),
    ("dsn", "http://default:x@clickhouse:8123/app", []),
    ("dsn", "host=localhost dbname=app_test user=app password='a b'", []),
    ("dsn", "postgresql://app:p@ss@localhost/app", ["secret.malformed"]),
    ("dsn", "postgresql://app:p%ss@localhost/app", ["secret.malformed"]),
    ("dsn", "localhost:5432/app", ["secret.malformed"]),
    ("dsn", "postgresql://app@localhost:54321234/app", ["secret.malformed"]),
    ("dsn", "postgresql://app:x@db.acme.dev/app_production", ["secret.production"]),
    ("dsn", "postgresql://app:x@staging.acme.dev/app", ["secret.production"]),
    ("dsn", "redis://x.cache.amazonaws.com:6379", ["secret.production"]),
    ("dsn", "mysql://root:x@prod-db/app", ["secret.production"]),
    ("dsn", "host=prod-db.acme.dev dbname=app", ["secret.production"]),
    ("dsn", "postgresql://localhost/products", []),
]


@pytest.mark.parametrize(("kind", "value", "expected"), URL_CASES)
def test_a_url_works_or_is_told_of(
    tmp_path: Path, kind: str, value: str, expected: list[str]
) -> None:
    assert slugs(tmp_path, f"KEY = {{ kind = '{kind}' }}", KEY=value) == expected


def test_a_target_that_attach_allows_is_not_production(tmp_path: Path) -> None:
    more = "attach = { allow = ['prod-copy.acme.dev'] }"
    value = "postgresql://app:x@prod-copy.acme.dev/app"
    assert slugs(tmp_path, "KEY = { kind = 'dsn' }", more=more, KEY=value) == []


@pytest.mark.parametrize(
    ("declaration", "value", "expected"),
    [
        ("pattern = 'sk_test_[a-z]{8}'", "sk_test_abcdqwzx", []),
        ("pattern = 'sk_test_[a-z]{8}'", "sk_live_abcdqwzx", ["secret.malformed"]),
        ("one_of = ['a', 'none']", "none", []),
        ("one_of = ['a', 'none']", "b", ["secret.malformed"]),
        ("one_of = ['a', 'none']", " a", ["secret.whitespace"]),
        ("one_of = ['a', 'none']", '"a"', ["secret.quoted"]),
        ("one_of = ['a', 'none']", "${STAGE}", ["secret.placeholder"]),
    ],
)
def test_patterns_and_lists_of_values_are_kept(
    tmp_path: Path, declaration: str, value: str, expected: list[str]
) -> None:
    assert slugs(tmp_path, f"KEY = {{ {declaration} }}", KEY=value) == expected


def key_of(*arguments: str) -> str:
    made = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=True)
    return made.stdout


@pytest.fixture(scope="module")
def keys() -> dict[str, str]:
    keys = {
        "rsa": key_of("genrsa", "2048"),
        "small": key_of("genrsa", "1024"),
        "ec": key_of("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
        "ed": key_of("genpkey", "-algorithm", "ED25519"),
    }
    for name in ("rsa", "small", "ec"):
        keys[f"{name} public"] = subprocess.run(
            ["openssl", "pkey", "-pubout"],
            input=keys[name],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    keys["small, traditional"] = key_of("genrsa", "-traditional", "1024")
    keys["escaped"] = keys["rsa"].replace("\n", "\\n")
    keys["joined"] = keys["rsa"].replace("\n", "")
    keys["cut"] = keys["rsa"][:200]
    keys["damaged"] = keys["rsa"].replace("M", "!", 1).replace("-BEGIN PRI!", "-BEGIN PRIM")
    keys["text"] = GOOD
    return keys


@pytest.mark.parametrize(
    ("declaration", "key", "expected"),
    [
        *itertools.product(["kind = 'pem'"], ["rsa", "small", "ec", "ed", "rsa public"], [None]),
        *itertools.product(["algorithm = 'RS256'"], ["rsa", "rsa public"], [None]),
        ("algorithm = 'PS512'", "rsa", None),
        ("algorithm = 'ES256'", "ec", None),
        ("algorithm = 'ES256'", "ec public", None),
        ("algorithm = 'EdDSA'", "ed", None),
        *itertools.product(
            ["algorithm = 'RS256'", "algorithm = 'PS256'"],
            ["small", "small public", "small, traditional"],
            ["secret.short"],
        ),
        *itertools.product(["algorithm = 'RS256'"], ["ec", "ed", "text"], ["secret.malformed"]),
        ("algorithm = 'ES256'", "rsa", "secret.malformed"),
        *itertools.product(
            ["kind = 'pem'"], ["escaped", "joined", "cut", "text"], ["secret.malformed"]
        ),
    ],
)
def test_a_key_in_pem_form_fits_its_algorithm(
    tmp_path: Path, keys: dict[str, str], declaration: str, key: str, expected: str | None
) -> None:
    assert slugs(tmp_path, f"KEY = {{ {declaration} }}", KEY=keys[key]) == (
        [expected] if expected else []
    )


def test_one_value_under_two_names_is_told_once_of_the_later(tmp_path: Path) -> None:
    (verdict,) = verdicts(tmp_path, "A = {}\nB = {}", A=GOOD, B=GOOD)
    assert (verdict.slug, verdict.name, verdict.severity) == ("secret.duplicate", "B", "warning")
    assert verdict.observed == "B has the same value as A"


def test_one_value_under_two_names_that_must_differ_is_an_error(tmp_path: Path) -> None:
    declaration = "A = { kind = 'url', differs_from = ['B'] }\nB = { kind = 'url' }"
    url = "http://localhost:1"
    (verdict,) = verdicts(tmp_path, declaration, A=url, B=url)
    assert (verdict.slug, verdict.name, verdict.severity) == ("secret.duplicate", "A", "error")


def test_two_urls_may_be_the_same(tmp_path: Path) -> None:
    url = "postgresql://localhost/app_test"
    declaration = "A = { kind = 'dsn' }\nB = { kind = 'dsn' }"
    assert slugs(tmp_path, declaration, A=url, B=url) == []


def test_a_fault_where_the_secret_is_not_required_is_a_warning(tmp_path: Path) -> None:
    declaration = "KEY = { algorithm = 'HS256', required_in = ['ci'] }"
    assert verdicts(tmp_path, declaration, KEY="changeme")[0].severity == "warning"
    assert verdicts(tmp_path, declaration, KEY="changeme", CI="true")[0].severity == "error"


# In none of our own words.
_MARK = "zQ9x"


@settings(deadline=None, max_examples=300)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=4),
    st.sampled_from(
        [
            Secret(name="KEY", min_length=64, min_entropy=500),
            Secret(name="KEY", kind="jwt", algorithm="HS512"),
            Secret(name="KEY", kind="jwt", algorithm="RS256", generate=False),
            Secret(name="KEY", kind="url", generate=False),
            Secret(name="KEY", kind="dsn", generate=False),
            Secret(name="KEY", kind="pem", generate=False),
            Secret(name="KEY", kind="one-of", one_of=("a",), generate=False),
            Secret(name="KEY", pattern="[0-9]+"),
        ]
    ),
    st.sampled_from(["", "postgresql://u:", "http://h/?token=", "-----BEGIN X-----\n"]),
)
def test_no_verdict_has_a_value_in_it(text: str, secret: Secret, before: str) -> None:
    found = Found(
        name="KEY",
        value=Concealed(before + _MARK + text),
        origin="environment",
        source="the environment",
    )
    sources = Sources(found={"KEY": found})
    assert _MARK not in repr(judge({"KEY": secret}, sources, Standard()))

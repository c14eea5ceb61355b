"""Where services run already: URLs taken apart, variables that count, and what is refused."""

from __future__ import annotations

import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envkit import config, dsn, guard
from envkit.dsn import Dsn
from envkit.errors import AttachRefused, BackendNone, DsnMalformed
from envkit.host import HostFacts, Target
from envkit.keeper.record import key_of
from envkit.model import SERVICES, AttachSettings, ServiceName, Settings
from envkit.plan import choose
from envkit.redact import without_passwords

EXAMPLES: dict[ServiceName, str] = {name: dsn.FORMS[name].example for name in SERVICES}


def read(service: ServiceName, text: str) -> Dsn:
    return dsn.read(service, text, "THE_URL")


def wrong(service: ServiceName, text: str) -> DsnMalformed:
    with pytest.raises(DsnMalformed) as caught:
        read(service, text)
    return caught.value


# -- URLs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", SERVICES)
def test_example_of_every_service_can_be_read(service: ServiceName) -> None:
    assert read(service, EXAMPLES[service]).host == "localhost"


@pytest.mark.parametrize(
    ("service", "text", "port"),
    [
        ("postgres", "postgres://h", 5432),
        ("redis", "redis://h", 6379),
        ("redis", "rediss://h", 6379),
        ("clickhouse", "http://h", 8123),
        ("clickhouse", "https://h", 8443),
        ("clickhouse", "clickhouse://h?secure=true", 8443),
    ],
)
def test_port_that_is_not_written_is_the_usual_one(
    service: ServiceName, text: str, port: int
) -> None:
    assert read(service, text).port == port


@pytest.mark.parametrize(
    ("service", "text"),
    [
        ("postgres", "postgresql+asyncpg://h/d"),
        ("postgres", "postgres+psycopg://h/d"),
        ("clickhouse", "clickhouse+http://h/d"),
        ("clickhouse", "clickhouse+connect://h/d"),
    ],
)
def test_name_of_a_driver_in_the_scheme_is_dropped(service: ServiceName, text: str) -> None:
    assert (read(service, text).host, read(service, text).database) == ("h", "d")


def test_parameters_of_the_query_are_kept() -> None:
    found = read("postgres", "postgres://h/d?sslmode=require&options=-c%20x%3D1+2")
    assert found.parameters == {"sslmode": "require", "options": "-c x=1+2"}


@pytest.mark.parametrize(
    ("service", "text", "host"),
    [
        ("postgres", "postgresql:///d?host=/run/postgresql", "/run/postgresql"),
        ("postgres", "postgresql://u@%2Frun%2Fpostgresql/d", "/run/postgresql"),
        ("redis", "unix:///run/redis.sock?db=3", "/run/redis.sock"),
        ("redis", "redis://[::1]:6380/3", "::1"),
    ],
)
def test_host_may_be_a_socket_or_an_address_in_brackets(
    service: ServiceName, text: str, host: str
) -> None:
    assert read(service, text).host == host


@pytest.mark.parametrize(
    ("service", "text", "what", "hint"),
    [
        ("postgres", "mysql://u:secret@h/d", "it is a URL for MySQL, not for Postgres", "postgre"),
        ("redis", "http://h", "unknown scheme http://", "redis://:password@localhost:6379/0"),
        ("postgres", "u:secret@h/d", "does not begin with a scheme such as postgresql://", "write"),
        ("postgres", "host=h password=secret", "it is a list of key=value", "write it as a URL"),
        ("postgres", "jdbc:postgresql://h/d", "it is a JDBC URL", "write it like"),
        ("postgres", "'postgresql://h/d'", "the quotes belong to the value", "take the quotes"),
        ("postgres", "postgresql://u:secret@/d", "it names no host", "?host=/var/run/postgresql"),
        ("postgres", "postgresql://u:secret@h:x/d", "its port is no number", "write it like"),
        ("postgres", "postgresql://u:secret@h:0/d", "its port is no number", "write it like"),
        ("postgres", "postgresql://u:secret@h:65536/d", "its port is no number", "write it like"),
        ("postgres", "postgresql://u:sec@ret@h/d", "there is an '@' in the user or pass", "%40"),
        ("postgres", "postgresql://u:sec/ret@h/d", "there is '/' in the user or password", "%2F"),
        ("postgres", "postgresql://u:sec?ret@h/d", "there is '?' in the user or password", "%3F"),
        ("postgres", "postgresql://u:sec#ret@h/d", "there is '#' in the user or password", "%23"),
        ("postgres", "postgresql://u:sec%ret@h/d", "a '%' in its password begins no", "%25"),
        ("postgres", "postgresql://u@h1,h2/d", "it names several hosts", "one of them"),
        ("postgres", "postgresql://u@h/d?hostaddr=192.0.2.1", "its hostaddr may lead", "the host"),
        ("postgres", "postgresql://u@h/d?service=live", "its service may lead", "the host"),
        ("postgres", "postgresql://u@h h/d", "there is a space in its host", "write it like"),
        ("redis", "redis://h/zero", "its database is not a number", "write it like"),
        ("clickhouse", "clickhouse+native://h/d", "it is for the driver native", "8123"),
    ],
)
def test_malformed_url_is_explained(service: ServiceName, text: str, what: str, hint: str) -> None:
    error = wrong(service, text)
    assert error.observed.startswith(f"THE_URL cannot be used for {dsn.FORMS[service].title}: ")
    assert what in error.observed
    assert hint in error.hint
    assert "sec" not in error.observed.replace("secure", "")


NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
SECRETS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=5, max_size=20)


@given(NAMES, SECRETS, NAMES, st.integers(1, 65535), NAMES, st.sampled_from(SERVICES))
def test_what_is_quoted_comes_back(
    user: str, password: str, host: str, port: int, database: str, service: ServiceName
) -> None:
    if service == "redis":
        database = str(port)
    parts = {"host": host, "port": str(port), "user": user, "password": password}
    text = dsn.compose(next(iter(dsn.FORMS[service].schemes)), parts | {"database": database}, {})
    found = read(service, text)
    assert (found.user, found.password) == (user, password)
    assert (found.host, found.port, found.database) == (host, port, database)


@given(
    SECRETS.map(lambda text: f"Pw{text}"),
    st.sampled_from(["postgresql", "postgres+x", "mysql", "redis", ""]),
    st.sampled_from(["h/d", "h:x/d", "/d", "h:5432/d?sslmode=no", "h h", "[::1/d"]),
)
def test_no_error_shows_the_password(password: str, scheme: str, place: str) -> None:
    """Quoted or not, and however it makes the rest look."""
    for written in (password, urllib.parse.quote(password, safe="")):
        text = f"{scheme}://user:{written}@{place}" if scheme else f"user:{written}@{place}"
        try:
            read("postgres", text)
        except DsnMalformed as error:
            said = error.observed + error.hint + error.detail
            assert password not in said
            assert written not in said


@given(SECRETS.filter(lambda text: not any(c.isspace() or c in "\"'<>" for c in text)))
def test_password_is_masked_in_any_output_although_it_was_not_quoted(password: str) -> None:
    assert password not in without_passwords(f"see postgres://u:{password}@host/d, please")


def test_long_words_are_no_work() -> None:
    """What is printed may have files in it, as base64: the square of that would take hours."""
    word, urls = "a" * 3_000_000, "http://h:80/," * 200_000
    assert without_passwords(f"{word}://u:secret1@h {urls}") == f"{word}://u:***@h {urls}"


def test_password_is_masked_in_queries_and_connection_strings() -> None:
    said = without_passwords("http://h/?user=u&password=secret1 host=h password=secret2 x")
    assert said == "http://h/?user=u&password=*** host=h password=*** x"


# -- what looks like a test's ----------------------------------------------------------------------


def why_not(text: str, *allow: str, service: ServiceName = "postgres") -> str:
    return guard.why_not(read(service, text), allow)


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST.", "127.0.0.1", "127.9.8.7", "[::1]", "[::ffff:127.0.0.1]"),
        *("postgres", "db-1", "my_db", "pg.localhost", "db.test", "0.0.0.0"),
    ],
)
def test_near_host_looks_like_a_tests(host: str) -> None:
    assert why_not(f"postgresql://{host}/app") == ""


def test_unix_socket_looks_like_a_tests() -> None:
    assert why_not("postgresql:///app?host=/run/postgresql") == ""


@pytest.mark.parametrize(
    "host",
    [
        *("db.example.com", "10.0.0.5", "8.8.8.8", "[2001:db8::1]", "[::ffff:8.8.8.8]"),
        *("134744072", "0x08080808", "127.0.0.1.example.com", "localhost.example.com", "test.com"),
    ],
)
def test_far_host_does_not_look_like_a_tests(host: str) -> None:
    assert "is another machine" in why_not(f"postgresql://{host}/app")
    assert "is another machine" in why_not(f"redis://{host}/0", service="redis")


@pytest.mark.parametrize(
    "database", ["test", "app_test", "test-app", "appTest", "app_tests2", "testing", "app_ci"]
)
def test_database_with_test_as_a_word_looks_like_one(database: str) -> None:
    assert why_not(f"postgresql://db.example.com/{database}") == ""


@pytest.mark.parametrize("database", ["app", "contest", "latest", "attestation", "city", ""])
def test_database_without_test_as_a_word_does_not(database: str) -> None:
    assert why_not(f"postgresql://db.example.com/{database}")


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://localhost/production",
        "postgresql://localhost/app_prod",
        "postgresql://localhost/proddb_test",
        "postgresql://prod-db/app_test",
        "postgresql://localhost/app_live",
        "postgresql://staging/app_test",
        "postgresql://x.abc.eu-west-1.rds.amazonaws.com/test",
        "postgresql://x.postgres.database.azure.com/test",
        "postgresql://ep-x.eu.aws.neon.tech/test",
        "postgresql://db.x.supabase.co/test",
        "postgresql:///test?host=/cloudsql/p:r:i",
    ],
)
def test_what_looks_like_production_is_refused_wherever_it_is(text: str) -> None:
    assert "says that it is no test's" in why_not(text)


@pytest.mark.parametrize("database", ["products", "delivery", "olive", "reproduce", "alive"])
def test_harmless_word_does_not_look_like_production(database: str) -> None:
    assert why_not(f"postgresql://localhost/{database}") == ""


@pytest.mark.parametrize(
    "pattern",
    [
        *("db.example.com", "db.example.com:5432", "db.example.com/app", "db.example.com:5432/app"),
        *("*.example.com", "db.example.???", "*/app", "*:5432/a*", "DB.example.com", "*"),
    ],
)
def test_pattern_allows_what_it_names(pattern: str) -> None:
    assert why_not("postgresql://db.example.com/app", pattern) == ""


@pytest.mark.parametrize(
    "pattern",
    [
        *("example.com", "db.example.com:5433", "db.example.com/other", "db.example.com/App"),
        *("b.example.com", "db-example.com", "db.example.com/", "[a-z]*"),
    ],
)
def test_pattern_allows_nothing_else(pattern: str) -> None:
    assert why_not("postgresql://db.example.com/app", pattern)


@pytest.mark.parametrize("pattern", ["*", "*/*", "db.example.com", "db.example.com/*"])
def test_pattern_that_does_not_spell_production_does_not_allow_it(pattern: str) -> None:
    assert why_not("postgresql://db.example.com/production", pattern)
    assert why_not("postgresql://db.example.com/production", "*/production") == ""


def test_pattern_for_an_ipv6_address_may_have_a_port() -> None:
    assert why_not("postgresql://[2001:db8::1]:5433/app", "[2001:db8::1]:5433") == ""
    assert why_not("postgresql://[2001:db8::1]:5432/app", "[2001:db8::1]:5433")


@given(
    st.lists(NAMES, min_size=2, max_size=4).map(".".join),
    st.integers(1, 65535),
    st.from_regex(r"[a-z_]{1,12}", fullmatch=True),
)
def test_pattern_that_repeats_the_target_always_allows_it(
    host: str, port: int, database: str
) -> None:
    target = Dsn(service="postgres", host=host, port=port, database=database)
    assert guard.why_not(target, [f"{host}:{port}/{database}"]) == ""


@given(st.sampled_from(["production", "prod", "staging"]), NAMES, NAMES, NAMES)
def test_word_of_production_is_found_between_any_others(
    word: str, before: str, after: str, host: str
) -> None:
    name = f"{before}_{word}_{after}"
    assert guard.why_not(Dsn(service="postgres", host=host, port=1, database=name), ["*"])


# -- which variables count -------------------------------------------------------------------------

USUAL = {
    "DATABASE_URL": "postgresql://u:secret@db.example.com/app",
    "REDIS_URL": "redis://:secret@cache.example.com/2",
    "CLICKHOUSE_URL": "https://u:secret@ch.example.com/app",
}


def loaded(root: Path, text: str = "", **environ: str) -> config.Config:
    (root / "envkit.toml").write_text(text)
    return config.load(root, environ=environ)


def urls(found: config.Config) -> dict[ServiceName, str]:
    return {name: url for name in SERVICES if (url := found.settings.of(name).url)}


def test_usual_variables_do_not_count_by_themselves(tmp_path: Path) -> None:
    assert urls(loaded(tmp_path, **USUAL)) == {}


def test_usual_variables_count_where_attach_is_asked_for(tmp_path: Path) -> None:
    found = loaded(tmp_path, 'backend = "attach"', **USUAL)
    assert set(urls(found).values()) == set(USUAL.values())
    assert [found.origins[f"{name}.url"] for name in SERVICES] == list(USUAL)


def test_usual_variables_count_where_a_pattern_allows_their_target(tmp_path: Path) -> None:
    found = loaded(tmp_path, 'attach.allow = ["cache.example.com"]', **USUAL)
    assert urls(found) == {"redis": USUAL["REDIS_URL"]}


def test_variables_of_envkits_own_come_first(tmp_path: Path) -> None:
    own = "postgresql://localhost/mine"
    found = loaded(tmp_path, 'backend = "attach"', ENVKIT_POSTGRES_URL=own, **USUAL)
    assert found.settings.postgres.url == own
    assert found.origins["postgres.url"] == "ENVKIT_POSTGRES_URL"


def test_other_backend_leaves_the_usual_variables_alone(tmp_path: Path) -> None:
    assert urls(loaded(tmp_path, 'backend = "embedded"', **USUAL)) == {}


def test_pg_variables_become_one_url(tmp_path: Path) -> None:
    variables = {
        "PGHOST": "db",
        "PGPORT": "5433",
        "PGUSER": "u@x",
        "PGPASSWORD": "p/w",
        "PGDATABASE": "app_test",
        "PGSSLMODE": "require",
    }
    found = loaded(tmp_path, 'backend = "attach"', **variables)
    assert found.origins["postgres.url"] == "PGHOST"
    target = read("postgres", found.settings.postgres.url)
    assert (target.host, target.port, target.database) == ("db", 5433, "app_test")
    assert (target.user, target.password) == ("u@x", "p/w")
    assert target.parameters == {"sslmode": "require"}


def test_pg_variables_stand_in_for_a_database_url_of_another_product(tmp_path: Path) -> None:
    found = loaded(tmp_path, 'backend = "attach"', DATABASE_URL="mysql://h/d", PGHOST="/run/pg")
    assert read("postgres", found.settings.postgres.url).host == "/run/pg"


def test_clickhouse_variables_become_one_url(tmp_path: Path) -> None:
    variables = {"CLICKHOUSE_HOST": "ch", "CLICKHOUSE_PORT": "8443", "CLICKHOUSE_PASSWORD": "p@"}
    found = loaded(tmp_path, 'backend = "attach"', **variables)
    target = read("clickhouse", found.settings.clickhouse.url)
    assert (target.host, target.port, target.tls, target.password) == ("ch", 8443, True, "p@")


def test_lease_of_an_outer_envkit_is_no_target(tmp_path: Path) -> None:
    lease = f"redis://:{'a2' * 16}@127.0.0.1:6379/0"
    namespace = "http://u:p@127.0.0.1:8123/envkit_0123abcd_lease_1_ffffff"
    found = loaded(tmp_path, 'backend = "attach"', REDIS_URL=lease, CLICKHOUSE_URL=namespace)
    assert urls(found) == {}


def test_keeper_is_the_same_whichever_variable_names_the_server(tmp_path: Path) -> None:
    text = 'backend = "attach"'
    outer = loaded(tmp_path, text, DATABASE_URL="postgresql://h/d")
    inner = loaded(tmp_path, text, ENVKIT_POSTGRES_URL="postgresql://h/d")
    assert key_of(tmp_path, outer.settings) == key_of(tmp_path, inner.settings)


def test_keeper_is_another_for_another_server(tmp_path: Path) -> None:
    one = loaded(tmp_path, ENVKIT_POSTGRES_URL="postgresql://h/d")
    two = loaded(tmp_path, ENVKIT_POSTGRES_URL="postgresql://h2/d")
    assert key_of(tmp_path, one.settings) != key_of(tmp_path, two.settings)


# -- the plan --------------------------------------------------------------------------------------


def facts(url: str) -> HostFacts:
    return HostFacts(target=Target(url=url, origin="DATABASE_URL"))


def test_plan_says_where_and_who_named_it_without_credentials() -> None:
    choice = choose("postgres", Settings(), facts("postgresql://u:secret@localhost/app"))
    assert choice.backend == "attach"
    assert choice.why == "attached to localhost:5432 (DATABASE_URL)"


def test_plan_refuses_what_is_no_tests_and_says_how_to_allow_it() -> None:
    with pytest.raises(AttachRefused) as caught:
        choose("postgres", Settings(), facts("postgresql://u:secret@db.example.com/app"))
    assert "secret" not in str(caught.value)
    assert 'allow = ["db.example.com:5432/app"] in [tool.envkit.attach]' in caught.value.hint
    allowed = Settings(attach=AttachSettings(allow=("db.example.com:5432/app",)))
    url = "postgresql://u:secret@db.example.com/app"
    assert choose("postgres", allowed, facts(url)).backend == "attach"


@pytest.mark.parametrize("service", SERVICES)
def test_plan_without_a_target_names_all_ways_to_give_one(service: ServiceName) -> None:
    settings = Settings(backend={service: "attach"})
    with pytest.raises(BackendNone) as caught:
        choose(service, settings, HostFacts())
    said = str(caught.value)
    for way in (
        f"ENVKIT_{service.upper()}_URL",
        f"url in [tool.envkit.{service}]",
        config.targets.VARIABLES[service],
        "compose",
        "another backend",
    ):
        assert way in said

"""What `envkit init` reads out of a project, and that it writes nothing but its own table."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from envkit.config import load
from envkit.errors import ConfigInvalid, UsageError
from envkit.init import Proposal, propose, write

#: Root, too, may not do everything then.
MORTAL = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") * (os.geteuid() == 0)


def project(root: Path, **files: str) -> Path:
    """Write files into a directory; ``__`` in a name stands for its dots."""
    for name, text in files.items():
        path = root / name.replace("__", ".")
        path.write_text(text)
    return root


def listing(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}


def dependencies(*requirements: str) -> str:
    lines = "".join(f"  '{requirement}',\n" for requirement in requirements)
    return f"[project]\nname = 'x'\ndependencies = [\n{lines}]\n"


# --- what is proposed


def test_drivers_in_the_dependencies_are_named_with_their_line(tmp_path: Path) -> None:
    proposal = propose(
        project(
            tmp_path,
            pyproject__toml=dependencies("click", "psycopg[binary]>=3", "clickhouse_connect"),
        )
    )
    assert proposal.table == '[tool.envkit]\nservices = ["postgres", "clickhouse"]\n'
    assert proposal.reasons == (
        "postgres: psycopg in pyproject.toml dependencies, line 5",
        "clickhouse: clickhouse_connect in pyproject.toml dependencies, line 6",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "[project.optional-dependencies]\ndb = ['asyncpg']",
            "postgres: asyncpg in pyproject.toml optional-dependencies.db, line 2",
        ),
        (
            "[dependency-groups]\ntest = [{ include-group = 'x' }, 'redis']",
            "redis: redis in pyproject.toml dependency-groups.test, line 2",
        ),
        (
            "[tool.poetry.dependencies]\npython = '^3.11'\nPsycopg2_Binary = '^2.9'",
            "postgres: Psycopg2_Binary in pyproject.toml tool.poetry.dependencies, line 3",
        ),
        (
            "[tool.poetry.group.dev.dependencies]\nasynch = '*'",
            "clickhouse: asynch in pyproject.toml tool.poetry.group.dev.dependencies, line 2",
        ),
        (
            "[tool.poetry.dependencies]\ncelery = { version = '*', extras = ['redis'] }",
            "redis: celery[redis] in pyproject.toml tool.poetry.dependencies, line 2 (likely)",
        ),
        (
            "[tool.uv]\ndev-dependencies = ['rq']",
            "redis: rq in pyproject.toml tool.uv.dev-dependencies, line 2",
        ),
        (
            "[project]\ndependencies = ['SQLAlchemy[postgresql_asyncpg]']",
            "postgres: SQLAlchemy[postgresql_asyncpg] in pyproject.toml dependencies, line 2"
            " (likely)",
        ),
    ],
)
def test_every_kind_of_dependency_table_is_read(tmp_path: Path, text: str, reason: str) -> None:
    assert propose(project(tmp_path, pyproject__toml=text)).reasons == (reason,)


def test_requirements_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "dev.txt").write_text("# psycopg\n-r base.txt\nredis==5 # cache\n")
    project(tmp_path, requirements_test__txt="clickhouse-driver~=0.2\n")
    assert propose(tmp_path).reasons == (
        "redis: redis in requirements/dev.txt, line 3",
        "clickhouse: clickhouse-driver in requirements_test.txt, line 1",
    )


def test_an_orm_alone_is_a_guess_and_says_so(tmp_path: Path) -> None:
    proposal = propose(project(tmp_path, pyproject__toml=dependencies("SQLAlchemy")))
    assert proposal.reasons == (
        "postgres: SQLAlchemy in pyproject.toml dependencies, line 4"
        " (a guess: nothing names the database it runs on)",
    )


def test_an_orm_beside_a_driver_is_certain(tmp_path: Path) -> None:
    proposal = propose(project(tmp_path, pyproject__toml=dependencies("SQLAlchemy", "psycopg")))
    assert proposal.reasons == (
        "postgres: psycopg in pyproject.toml dependencies, line 5;"
        " SQLAlchemy in pyproject.toml dependencies, line 4",
    )


def test_an_orm_beside_the_driver_of_another_database_is_left_out(tmp_path: Path) -> None:
    proposal = propose(
        project(tmp_path, pyproject__toml=dependencies("Django", "mysqlclient", "redis"))
    )
    assert proposal.services == ("redis",)
    assert proposal.notes == (
        "postgres is left out: Django in pyproject.toml dependencies, line 4 may need it, but the"
        " project names another database (mysqlclient in pyproject.toml dependencies, line 5)",
    )


def test_manage_py_and_alembic_ini_are_guesses(tmp_path: Path) -> None:
    project(
        tmp_path,
        alembic__ini="[alembic]\nsqlalchemy.url = driver://user:pass@localhost/dbname\n",
        manage__py="from django.core.management import execute_from_command_line\n",
    )
    assert propose(tmp_path).reasons == (
        "postgres: alembic.ini; Django's manage.py"
        " (a guess: nothing names the database it runs on)",
    )


def test_a_url_in_alembic_ini_is_certain_and_its_password_is_not_shown(tmp_path: Path) -> None:
    project(tmp_path, alembic__ini="sqlalchemy.url = postgresql+psycopg://u:hunter22@h/d\n")
    assert propose(tmp_path).reasons == (
        "postgres: the URL in alembic.ini, line 1, is postgresql:",
    )


def test_another_database_in_alembic_ini_outweighs_a_guess(tmp_path: Path) -> None:
    project(
        tmp_path,
        alembic__ini="sqlalchemy.url = sqlite:///x.db\n",
        requirements__txt="sqlalchemy\n",
    )
    proposal = propose(tmp_path)
    assert not proposal.found
    assert "sqlite" in proposal.notes[0]


def test_envkit_itself_is_no_evidence(tmp_path: Path) -> None:
    text = dependencies("envkit-services[redis]")
    assert not propose(project(tmp_path, pyproject__toml=text)).found


@pytest.mark.parametrize(
    ("image", "service", "version"),
    [
        ("postgres:16", "postgres", "16"),
        ("postgres:16.3-alpine", "postgres", "16"),
        ('"docker.io/library/postgres:17"  # pinned', "postgres", "17"),
        ("localhost:5000/mirror/postgres:15@sha256:abc", "postgres", "15"),
        ("postgres:${PG_VERSION:-14}", "postgres", "14"),
        ("&db postgres:13", "postgres", "13"),
        ("postgres", "postgres", ""),
        ("postgres:latest", "postgres", ""),
        ("postgres:18beta1", "postgres", ""),
        ("pgvector/pgvector:pg16", "postgres", ""),
        ("timescale/timescaledb:2.14.2-pg16", "postgres", ""),
        ("redis:7-alpine", "redis", ""),
        ("valkey/valkey:8", "redis", ""),
        ("clickhouse/clickhouse-server:25.8", "clickhouse", ""),
    ],
)
def test_compose_images_name_services_and_note_the_version_of_postgres(
    tmp_path: Path, image: str, service: str, version: str
) -> None:
    project(tmp_path, compose__yaml=f"services:\n  one:\n    image: {image}\n")
    proposal = propose(tmp_path)
    assert proposal.services == (service,)
    noted = [f'version = "{version}"' in note for note in proposal.notes]
    assert noted == ([True] if version else [])


@pytest.mark.parametrize(
    "line",
    [
        "# image: postgres:16",
        "image: nginx:1 # not postgres:16",
        "x-image: mypostgres:16",
        "image:",
    ],
)
def test_lines_that_only_look_like_a_service_are_passed_over(tmp_path: Path, line: str) -> None:
    assert not propose(project(tmp_path, compose__yml=f"services:\n  a:\n    {line}\n")).found


def test_images_within_braces_are_read(tmp_path: Path) -> None:
    project(tmp_path, compose__yml="services: { db: { image: 'postgres:16', ports: [] } }\n")
    assert propose(tmp_path).services == ("postgres",)


def test_names_envkit_sets_anyway_need_no_line(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(
        "DATABASE_URL=postgres://u:p@h/d\nREDIS_URL=\nexport CLICKHOUSE_HOST=localhost\n"
    )
    proposal = propose(tmp_path)
    assert proposal.table == 'services = ["postgres", "redis", "clickhouse"]\n'
    assert proposal.found


def test_other_names_for_urls_are_mapped(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(
        "POSTGRES_DSN=\nCELERY_BROKER_URL=redis://localhost\nSENTRY_DSN=https://x\n"
    )
    proposal = propose(tmp_path)
    assert tomllib.loads(proposal.table)["env"] == {
        "POSTGRES_DSN": "postgres.url",
        "CELERY_BROKER_URL": "redis.url",
    }
    assert "env.POSTGRES_DSN: .env.example, line 1" in proposal.reasons


def test_parts_of_an_endpoint_are_mapped(tmp_path: Path) -> None:
    (tmp_path / ".env.sample").write_text("APP_POSTGRES_SERVER=db\nREDIS_PORT=6379\n")
    assert tomllib.loads(propose(tmp_path).table)["env"] == {
        "APP_POSTGRES_SERVER": "postgres.host",
        "REDIS_PORT": "redis.port",
    }


def test_many_names_get_a_table_of_their_own(tmp_path: Path) -> None:
    names = [f"POSTGRES_REPLICA_{n}_URL" for n in "ABCDE"]
    (tmp_path / ".env.example").write_text("".join(f"{name}=\n" for name in names))
    table = propose(tmp_path).table
    assert "\n[env]\n" in table
    assert tomllib.loads(table)["env"] == dict.fromkeys(names, "postgres.url")


def test_a_dialect_is_kept_and_the_reason_names_it(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text("DB_URL=postgresql+asyncpg://u:hunter22@h/d\n")
    proposal = propose(tmp_path)
    assert 'DB_URL = "postgres.url as postgresql+asyncpg"' in proposal.table
    assert "its value names postgresql+asyncpg" in proposal.reasons[-1]
    assert "hunter22" not in repr(proposal)


def test_a_dialect_the_url_will_not_have_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text("CH_URL=clickhouse+native://u:hunter22@h/d\n")
    proposal = propose(tmp_path)
    assert 'CH_URL = "clickhouse.url"' in proposal.table
    assert "its value names clickhouse+native, which envkit" in proposal.reasons[-1]
    assert "hunter22" not in repr(proposal)


@pytest.mark.parametrize(
    "line",
    [
        "UPSTASH_REDIS_REST_URL=https://x",
        "MONGO_DATABASE_URL=mongodb://x",
        "#REDIS_URL=",
        "ENVKIT_REDIS_URL=",
        "AUTH_SERVICE_URL=http://x",
    ],
)
def test_variables_for_something_else_are_passed_over(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env.example").write_text(f"{line}\n")
    assert not propose(tmp_path).found


def test_the_real_env_file_is_never_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("POSTGRES_DSN=postgres://u:p@h/d\n")
    assert not propose(tmp_path).found


def test_nothing_found_proposes_all_three_and_says_so(tmp_path: Path) -> None:
    proposal = propose(project(tmp_path, pyproject__toml="[project]\nname = 'x'\n"))
    assert proposal.services == ("postgres", "redis", "clickhouse")
    assert not proposal.found
    assert "nothing in the project names one of them" in proposal.reasons[0]


def test_a_long_list_of_causes_is_cut(tmp_path: Path) -> None:
    text = dependencies("redis", "rq", "arq", "hiredis", "coredis")
    (reason,) = propose(project(tmp_path, pyproject__toml=text)).reasons
    assert reason.endswith("; and 2 more")


@pytest.mark.parametrize(
    "text",
    [
        "project = 1",
        "[project]\ndependencies = 'redis'",
        "[project]\noptional-dependencies = [1]",
        "[dependency-groups]\na = [1, { b = 2 }]",
        "[tool.poetry]\ndependencies = ['x']\ngroup = 'x'",
        "[tool.poetry.dependencies]\ncelery = { extras = [1] }\nx = { extras = 1 }",
    ],
)
def test_tables_of_an_unexpected_shape_are_passed_over(tmp_path: Path, text: str) -> None:
    assert not propose(project(tmp_path, pyproject__toml=text)).found


def test_a_broken_pyproject_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"pyproject\.toml:1:"):
        propose(project(tmp_path, pyproject__toml="[project"))


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("pyproject.toml", "[project]\nname = 'x'\n[tool.envkit]\n", "pyproject.toml:3"),
        ("envkit.toml", "linger = 1\n", "envkit.toml:1"),
    ],
)
def test_a_configured_project_is_a_usage_error(
    tmp_path: Path, name: str, text: str, where: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        propose(tmp_path)
    assert caught.value.observed == f"already configured at {where}"
    assert caught.value.hint != ""


def test_proposing_changes_nothing(tmp_path: Path) -> None:
    project(tmp_path, pyproject__toml=dependencies("redis"), compose__yml="image: redis:7\n")
    before = listing(tmp_path)
    propose(tmp_path)
    assert listing(tmp_path) == before


# --- writing it


def test_what_was_written_is_what_load_reads(tmp_path: Path) -> None:
    project(
        tmp_path,
        pyproject__toml=dependencies("psycopg", "redis"),
        compose__yml="image: postgres:16\n",
    )
    (tmp_path / ".env.example").write_text("POSTGRES_DSN=\n")
    assert write(propose(tmp_path)) == tmp_path / "pyproject.toml"
    found = load(tmp_path, environ={}).settings
    assert found.services == ("postgres", "redis")
    assert found.env == {"POSTGRES_DSN": "postgres.url"}


def test_without_a_pyproject_an_envkit_toml_is_made(tmp_path: Path) -> None:
    project(tmp_path, requirements__txt="psycopg\n", compose__yml="image: postgres:16\n")
    assert write(propose(tmp_path)) == tmp_path / "envkit.toml"
    config = load(tmp_path, environ={})
    assert config.file == tmp_path / "envkit.toml"
    assert config.settings.services == ("postgres",)


def test_the_file_keeps_its_mode(tmp_path: Path) -> None:
    path = project(tmp_path, pyproject__toml="") / "pyproject.toml"
    path.chmod(0o640)
    write(propose(tmp_path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "real.toml"
    target.write_text("[project]\nname = 'x'\n")
    (tmp_path / "pyproject.toml").symlink_to(target)
    write(propose(tmp_path))
    assert (tmp_path / "pyproject.toml").is_symlink()
    assert "[tool.envkit]" in target.read_text()


def test_no_other_file_is_left_behind(tmp_path: Path) -> None:
    write(propose(project(tmp_path, pyproject__toml="")))
    assert list(listing(tmp_path)) == ["pyproject.toml"]


def test_writing_twice_is_a_usage_error(tmp_path: Path) -> None:
    proposal = propose(project(tmp_path, pyproject__toml=""))
    write(proposal)
    before = listing(tmp_path)
    with pytest.raises(UsageError, match="already configured"):
        write(proposal)
    assert listing(tmp_path) == before


def test_an_inline_tool_table_is_refused_and_left_alone(tmp_path: Path) -> None:
    project(tmp_path, pyproject__toml="x = 1\ntool = { ruff = { line-length = 100 } }\n")
    before = listing(tmp_path)
    with pytest.raises(ConfigInvalid, match=r"pyproject\.toml:2: the file cannot take") as caught:
        write(propose(tmp_path))
    assert "services =" in caught.value.hint
    assert listing(tmp_path) == before


@pytest.mark.parametrize("before", [{}, {"pyproject.toml": b"# 4567\n"}], ids=["new", "there"])
def test_nothing_is_lost_and_nothing_left_where_the_disk_is_full(
    tmp_path: Path, before: dict[str, bytes]
) -> None:
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    proposal = propose(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))  # bytes of a file
    try:
        with pytest.raises(ConfigInvalid, match="cannot be written: "):
            write(proposal)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_a_directory_that_may_not_be_entered_is_passed_over(tmp_path: Path, mode: int) -> None:
    """Such as the data of a database that runs in a container, as another user."""
    project(tmp_path, pyproject__toml='[project]\ndependencies = ["psycopg"]')
    mounts = "./data:/docker-entrypoint-initdb.d"
    (tmp_path / "compose.yml").write_text(f"image: postgres:17\nvolumes: ['{mounts}']\n")
    data = tmp_path / "data"
    data.mkdir()
    for name in ("x.py", "manage.py", "x.sql"):
        (data / name).write_text("import django")
    data.chmod(mode)
    try:
        done = subprocess.run(
            [*MORTAL, sys.executable, "-m", "envkit", "init", "--yes"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    finally:
        data.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert 'services = ["postgres"]' in (tmp_path / "pyproject.toml").read_text()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everything")
def test_a_read_only_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    project(tmp_path, pyproject__toml="")
    (tmp_path / "pyproject.toml").chmod(0o444)
    with pytest.raises(ConfigInvalid, match="cannot be written: Permission denied"):
        write(propose(tmp_path))
    assert listing(tmp_path) == {"pyproject.toml": b""}


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs Linux' /proc")
def test_a_directory_that_takes_no_file_is_named(tmp_path: Path) -> None:
    proposal = propose(tmp_path)
    elsewhere = Proposal(
        root=Path("/proc"),
        file=Path("/proc/envkit.toml"),
        services=proposal.services,
        lines=proposal.lines,
        found=False,
    )
    with pytest.raises(ConfigInvalid, match=r"/proc/envkit\.toml cannot be written"):
        write(elsewhere)


KEYS = st.text("abc-._ \"'#é", min_size=1, max_size=6)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.integers(-5, 5)
    | st.booleans()
    | st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    document=st.dictionaries(KEYS, VALUES, max_size=4),
    tool=st.dictionaries(KEYS, VALUES, max_size=2),
    newline=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    tail=st.sampled_from(["", "\n", "\n\n", "# no line end", "  "]),
)
def test_the_rest_of_the_file_is_kept_byte_for_byte(
    document: dict[str, Any], tool: dict[str, Any], newline: str, mark: bytes, tail: str
) -> None:
    text = tomlkit.dumps({**document, "tool": {"x": tool}}) + tail
    before = mark + text.replace("\n", newline).encode()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "pyproject.toml")
        path.write_bytes(before)
        proposal = propose(path.parent)
        write(proposal)
        after = path.read_bytes()
    assert after.startswith(before)
    assert (
        after.removeprefix(before).decode().strip() == proposal.table.replace("\n", newline).strip()
    )
    if newline == "\r\n":
        assert after.count(b"\n") == after.count(b"\r\n")
    expected = tomllib.loads(text)
    expected["tool"]["envkit"] = tomllib.loads(proposal.table)["tool"]["envkit"]
    assert tomllib.loads(after.removeprefix(mark).decode()) == expected


def test_the_table_stands_apart_by_one_empty_line(tmp_path: Path) -> None:
    project(tmp_path, pyproject__toml="[project]\nname = 'x'")
    write(propose(tmp_path))
    text = (tmp_path / "pyproject.toml").read_text()
    assert text.startswith("[project]\nname = 'x'\n\n[tool.envkit]\n")

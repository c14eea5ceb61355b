"""How a project's tables come to be, as far as its files say it beyond doubt."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from envkit.config import Document
from envkit.init import known
from envkit.init.sources import Read, Source
from envkit.templates.sources import usual_files

__all__ = ["Migration", "migration_of"]

_INTO: Final = "/docker-entrypoint-initdb.d"  # https://hub.docker.com/_/postgres
_COMPOSE: Final = ("docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml")
_LARGEST: Final = 1_000_000  # bytes
# A path that needs no quotes, neither in a command nor in TOML.
_PLAIN: Final = r"[\w./-]+"
# In Alembic's env.py: a URL that is not the one of its alembic.ini.
_OWN_URL: Final = re.compile(
    r"environ|getenv|set_main_option|set_section_option|create_(?:async_)?engine\("
    r"|\[[\"'](?:sqlalchemy\.)?url[\"']\]\s*="
)
_WRITTEN_URL: Final = re.compile(r"[\"'](?:postgres(?:ql)?|mysql|mariadb)(?:\+\w+)?://")


class Migration(Struct, frozen=True, kw_only=True):
    """Keys for the table of Postgres, each with its value in TOML and why it is there."""

    keys: tuple[tuple[str, str, str], ...]


def migration_of(
    root: Path,
    document: Document | None,
    led: Sequence[Read],
    sources: list[Source],
    notes: list[str],
) -> Migration | None:
    """What prepares the project's Postgres; None if that is not certain, and a note says why.

    Args:
        root: The project's directory.
        document: Its ``pyproject.toml``.
        led: Where its code reads a variable that leads to Postgres: a command that reads none would
            migrate another database than envkit's.
        sources: Its Python files.
        notes: Where notes go.
    """
    alembic, manage = root / "alembic.ini", _manage(root)
    if alembic.is_file() and manage is not None:
        notes.append(
            f"alembic.ini and {manage.relative_to(root).as_posix()}: postgres.migrate is left out,"
            " because either may make the tables that tests need"
        )
        return None
    if alembic.is_file():
        if led:
            return _alembic(root, alembic, notes)
        notes.append(_left_out("alembic.ini", "no Python file", "alembic upgrade head"))
    elif manage is not None:
        settings = {source.path for source in sources if "DATABASES" in source.text}
        found = _django(root, manage, document, notes)
        if settings.intersection(one.path for one in led):
            return found
        _, command, _ = found.keys[0]
        shown = manage.relative_to(root).as_posix()
        notes.append(_left_out(shown, "no file with DATABASES in it", command.strip('"')))
    else:
        return _schema(root, notes)
    return None


def _left_out(file: str, what: str, command: str) -> str:
    return (
        f"{file}: postgres.migrate is left out, because {what} reads a variable that leads to"
        " Postgres, so it might migrate a database that is not envkit's; if it does read one, name"
        f' that in env, and add migrate = "{command}" to the table of postgres'
    )


def _alembic(root: Path, file: Path, notes: list[str]) -> Migration | None:
    ini = configparser.RawConfigParser(strict=False)
    try:
        ini.read_string(_read(file))
    except configparser.Error:
        ini.clear()
    place = ini.get("alembic", "script_location", fallback="").strip().strip('"')
    place = re.sub(r"^%\(here\)s/?", "", place)
    if re.fullmatch(r"[A-Za-z_][\w.]*:\S+", place):  # package:directory
        package, _, below = place.partition(":")
        place = f"{package.replace('.', '/')}/{below}"
    place = re.sub(r"^\./|/$", "", place)
    script = root / place / "env.py"
    if not re.fullmatch(_PLAIN, place) or not script.is_file():
        notes.append(
            "alembic.ini: postgres.migrate is left out, because no env.py is where it says"
            " (script_location)"
        )
        return None
    code = re.sub(r"(?m)#.*$", "", _read(script))
    scheme = re.match(r"(\w+)(?:\+\w+)?:", ini.get("alembic", "sqlalchemy.url", fallback=""))
    written = _WRITTEN_URL.search(code) and "environ" not in code and "getenv" not in code
    if written or (scheme and scheme[1] in known.SCHEMES and not _OWN_URL.search(code)):
        what = f"{place}/env.py names a database"
        if not written:
            what = (
                f"alembic.ini names a database (sqlalchemy.url), and {place}/env.py reads no other"
            )
        notes.append(
            f"{what}: postgres.migrate is left out, because it would migrate that one; have env.py"
            ' read the environment, and add migrate = "alembic upgrade head" to the table of'
            " postgres"
        )
        return None
    keys = [("migrate", '"alembic upgrade head"', f"alembic.ini, with {place}/env.py")]
    versions = [f"{place}/versions"]
    if listed := ini.get("alembic", "version_locations", fallback=""):
        versions = re.split(r"[\s,:;]+", listed.replace("%(here)s/", "").strip())
    missed = _missed(root, versions)
    if missed:
        globs = ", ".join(f'"{one}"' for one in ("alembic.ini", f"{place}/env.py", *missed))
        keys.append(
            ("watch", f"[{globs}]", "what it depends on, where envkit does not look itself")
        )
    return Migration(keys=tuple(keys))


def _missed(root: Path, directories: Sequence[str]) -> list[str]:
    """Globs of those directories whose files are not watched anyway."""
    usual = set(usual_files(root))
    return [
        f"{one}/**"
        for one in directories
        if re.fullmatch(_PLAIN, one)
        and any(path not in usual for path in (root / one).rglob("*.py"))
    ]


def _manage(root: Path) -> Path | None:
    """Django's ``manage.py``, in the project or in one of its directories."""
    for candidates in ([root / "manage.py"], sorted(root.glob("[!.]*/manage.py"))):
        found = [
            path
            for path in candidates
            if re.fullmatch(_PLAIN, path.relative_to(root).as_posix()) and "django" in _read(path)
        ]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _django(root: Path, manage: Path, document: Document | None, notes: list[str]) -> Migration:
    shown = manage.relative_to(root).as_posix()
    command, reason = f"python {shown} migrate", shown
    usual = re.search(r"DJANGO_SETTINGS_MODULE[\"']\s*,\s*[\"']([\w.]+)[\"']", _read(manage))
    tested, where = _settings_of_tests(root, document)
    if tested and not (usual and usual[1] == tested):
        # Other settings may have other applications.
        command += f" --settings={tested}"
        reason += f"; {where} names other settings for tests"
    if not tested:
        notes.append(
            f"{shown}: for pytest-django, name the settings in DJANGO_SETTINGS_MODULE of pytest's"
            " configuration; Django's own runner makes databases, which the role of a lease may not"
        )
    return Migration(keys=(("migrate", f'"{command}"', reason),))


def _settings_of_tests(root: Path, document: Document | None) -> tuple[str, str]:
    """The settings that pytest-django takes, and the file that names them."""
    table, name = _pytest_table(root, document)
    said = table.get("addopts", "")
    options = " ".join(map(str, said)) if isinstance(said, list) else str(said)
    option = re.search(r"(?:^|\s)--ds[= ]([\w.]+)", options)
    value = option[1] if option else str(table.get("DJANGO_SETTINGS_MODULE", "")).strip()
    return (value, name) if re.fullmatch(r"[\w.]+", value) else ("", "")


def _pytest_table(root: Path, document: Document | None) -> tuple[Mapping[str, Any], str]:
    """Pytest's configuration, from the first file that has it, and its name.

    The order is https://docs.pytest.org/en/stable/reference/customize.html#configuration-file-formats
    """
    for name in ("pytest.ini", ".pytest.ini"):
        if found := _ini_table(root / name, "pytest"):
            return found, name
    table: Any = document.data if document is not None else {}
    for key in ("tool", "pytest"):
        table = table.get(key) if isinstance(table, dict) else None
    if isinstance(table, dict):
        table = table.get("ini_options", table)  # without that it is pytest 9's own
    if document is not None and isinstance(table, dict):
        return table, document.path.name
    for name, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        if found := _ini_table(root / name, section):
            return found, name
    return {}, ""


def _ini_table(path: Path, section: str) -> dict[str, str]:
    ini = configparser.RawConfigParser(strict=False)
    ini.optionxform = str  # type: ignore[assignment,method-assign] # its documented use: keep case
    try:
        ini.read_string(_read(path))
    except configparser.Error:
        return {}
    return dict(ini[section]) if ini.has_section(section) else {}


def _schema(root: Path, notes: list[str]) -> Migration | None:
    """Files that the compose project's Postgres runs when it is new."""
    for name in _COMPOSE:
        text = re.sub(r"(?m)(^|\s)#.*$", "", _read(root / name))
        mounts = re.findall(rf"[\s\"'](?:\./)?([\w./-]+):{_INTO}(?:/[\w.-]*)?(?::ro)?[\"'\s]", text)
        if not mounts:
            continue
        files = [one.rstrip("/") for one in mounts]
        globs = [f"{one}/*.sql" if (root / one).is_dir() else one for one in files]
        plain = all(
            (path.is_file() and path.suffix == ".sql")
            or (path.is_dir() and {one.suffix for one in path.iterdir()} == {".sql"})
            for path in (root / one for one in files)
        )
        # ClickHouse's image has a directory of that name, too.
        if plain and "clickhouse" not in text and ".." not in "".join(files):
            listed = ", ".join(f'"{one}"' for one in sorted(globs))
            return Migration(keys=(("schema", f"[{listed}]", f"what {name} mounts into {_INTO}"),))
        notes.append(
            f"{name} mounts {', '.join(files)} into {_INTO}: if that makes the tables that"
            " tests need, name its files of SQL in schema, in the table of postgres"
        )
        return None
    for name in ("schema.sql", "db/schema.sql", "sql/schema.sql"):
        if (root / name).is_file():
            notes.append(
                f'{name}: if it makes your tables, add schema = ["{name}"] to the table of'
                " postgres (or of clickhouse)"
            )
            break
    return None


def _read(path: Path) -> str:
    try:
        if path.is_file() and path.stat().st_size <= _LARGEST:
            return path.read_bytes().decode("utf-8", errors="replace").removeprefix("\ufeff")
    except OSError:
        pass  # evidence only
    return ""

"""How a project's tables come to be, as far as its files say it beyond doubt."""

from __future__ import annotations

import configparser
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from envkit.config import Document
from envkit.init.elsewhere import danger, named, reached, sets_url
from envkit.init.sources import Read, Source, are_all
from envkit.templates.sources import usual_files

__all__ = ["Migration", "migration_of"]

_INTO: Final = "/docker-entrypoint-initdb.d"  # https://hub.docker.com/_/postgres
_COMPOSE: Final = ("docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml")
_LARGEST: Final = 1_000_000  # bytes
# A path that needs no quotes, neither in a command nor in TOML.
_PLAIN: Final = r"[\w./-]+"
# Of a variable that is likely to have a URL of a database.
_URL_NAME: Final = re.compile(r"(?i)(?:^|_)(?:URL|URI|DSN|DB|DATABASE)(?:_|$)")


class Migration(Struct, frozen=True, kw_only=True):
    """Keys for the table of Postgres, each with its value in TOML and why it is there."""

    keys: tuple[tuple[str, str, str], ...]


def migration_of(
    root: Path,
    document: Document | None,
    read: Sequence[Read],
    ours: Collection[str],
    sources: list[Source],
    notes: list[str],
) -> Migration | None:
    """What prepares the project's Postgres; None if that is not certain, and a note says why.

    Args:
        root: The project's directory.
        document: Its ``pyproject.toml``.
        read: What its code reads from the environment.
        ours: The variables that lead to Postgres: a command that reads none of them, or something
            else beside, would migrate another database than envkit's.
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
        return _alembic(root, alembic, _Code(read, ours, sources), notes)
    if manage is not None:
        return _django(root, manage, document, _Code(read, ours, sources), notes)
    return _schema(root, notes)


class _Code:
    """The project's Python files, and what leads to Postgres in them."""

    def __init__(
        self, read: Sequence[Read], ours: Collection[str], sources: Sequence[Source]
    ) -> None:
        self.sources = sources
        self._read = read
        self._ours = ours

    def doubt(self, starts: Sequence[Source], what: str) -> str:
        """Why a command that imports these may not go to envkit's Postgres; empty if it does."""
        if not are_all(self.sources):
            return "there are too many Python files to look at all of them"
        files = reached(starts, self.sources)
        paths = {one.path for one in files}
        led = [one for one in self._read if one.name in self._ours and one.path in paths]
        if found := danger(files, led):
            return found
        return "" if led else f"{what} reads a variable that leads to Postgres"

    def unknown(self, script: Source) -> str:
        """Where it reads the URL of a database that envkit knows nothing of."""
        here = [one for one in self._read if one.path == script.path]
        found = (o for o in here if _URL_NAME.search(o.name) and o.name not in self._ours)
        return next((f"{one.where} reads {one.name}" for one in found), "")

    def sets_url(self, script: Source) -> bool:
        return sets_url(script, self._ours)

    def named(self, module: str) -> list[Source]:
        """The file of a module that a name like ``site.settings`` stands for."""
        return named(module, self.sources) if module else []

    def at(self, path: str) -> Source | None:
        return next((one for one in self.sources if one.path == path), None)


def _left_out(file: str, why: str, command: str) -> str:
    return (
        f"{file}: postgres.migrate is left out, because {why}, so it might migrate a database that"
        " is not envkit's; if it cannot, name what it reads in env, and add"
        f' migrate = "{command}" to the table of postgres'
    )


def _alembic(root: Path, file: Path, code: _Code, notes: list[str]) -> Migration | None:
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
    script = code.at(f"{place}/env.py" if place != "." else "env.py")
    if not re.fullmatch(_PLAIN, place) or script is None:
        notes.append(
            "alembic.ini: postgres.migrate is left out, because no env.py is where it says"
            " (script_location)"
        )
        return None
    why = code.unknown(script)
    if not why and ini.has_option("alembic", "databases"):
        why = "alembic.ini has several databases"
    if not why and _is_written(ini) and not code.sets_url(script):
        why = (
            f"alembic.ini names a database (sqlalchemy.url), and {place}/env.py does not always"
            " take another"
        )
    if why := why or code.doubt([script], f"nothing that {place}/env.py imports"):
        notes.append(_left_out("alembic.ini", why, "alembic upgrade head"))
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


def _is_written(ini: configparser.RawConfigParser) -> bool:
    """Whether it has the URL of a database, and not a place for one."""
    url = ini.get("alembic", "sqlalchemy.url", fallback="").strip()
    host = re.match(r"[\w+]+://(?:[^/]*@)?(?P<host>.?)", url)
    # What `alembic init` writes is no driver; % stands for what env.py puts in.
    return bool(host and host["host"] != "%" and not url.startswith("driver:"))


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


def _django(
    root: Path, manage: Path, document: Document | None, code: _Code, notes: list[str]
) -> Migration | None:
    shown = manage.relative_to(root).as_posix()
    command, reason = f"python {shown} migrate", shown
    found = re.search(r"DJANGO_SETTINGS_MODULE[\"']\s*,\s*[\"']([\w.]+)[\"']", _read(manage))
    usual = found[1] if found else ""
    tested, where = _settings_of_tests(root, document)
    if tested and usual != tested:
        # Other settings may have other applications.
        command += f" --settings={tested}"
        reason += f"; {where} names other settings for tests"
    starts = [one for one in (code.at(shown),) if one]
    settings = code.named(tested or usual)
    if not any("DATABASES" in one.text for one in reached(settings, code.sources)):
        settings = [one for one in code.sources if "DATABASES" in one.text]
    if why := code.doubt([*settings, *starts], "no file with DATABASES in it"):
        notes.append(_left_out(shown, why, command))
        return None
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
        globs = [one if Path(one).suffix == ".sql" else f"{one}/*.sql" for one in files]
        plain = all(_is_sql(root / one) for one in files)
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


def _is_sql(path: Path) -> bool:
    """Whether it is a file of SQL, or a directory with nothing else in it."""
    try:
        if path.is_dir():
            return path.suffix != ".sql" and {one.suffix for one in path.iterdir()} == {".sql"}
        return path.is_file() and path.suffix == ".sql"
    except OSError:
        return False  # it may not be looked at


def _read(path: Path) -> str:
    try:
        if path.is_file() and path.stat().st_size <= _LARGEST:
            return path.read_bytes().decode("utf-8", errors="replace").removeprefix("\ufeff")
    except OSError:
        pass  # evidence only
    return ""

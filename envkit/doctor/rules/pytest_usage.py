"""Options, plugins, configuration keys and markers that pytest does not know."""

from __future__ import annotations

import re
from typing import Final

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding
from envkit.doctor.pytest_plugins import (
    owner_of_ini_key,
    owner_of_marker,
    owner_of_option,
    owner_of_plugin,
    pip_install,
)

__all__: list[str] = []

_NOTHING_RAN: Final = ["pytest.select.empty"]
# Every program with argparse says "unrecognized arguments"; pytest has its name before, or its
# configuration after it.
_UNKNOWN: Final = [
    r"\bpy(?:\.)?test(?:\.exe|\.py)?: error: unrecognized arguments: (?P<options>.+)",
    r"error: unrecognized arguments: (?P<options>.+)\n\s+(?:inifile|rootdir): ",
]
# Those of pytest itself that came after 8.0.
_YOUNG: Final = (
    *("--disable-plugin-autoload", "--force-short-summary", "--max-warnings"),
    *("--no-fold-skipped", "--strict", "--xfail-tb"),
)


def _options(seen: Seen) -> tuple[list[str], list[str]]:
    """Those of published plugins, and the others; without their values."""
    known: list[str] = []
    unknown: list[str] = []
    for word in seen.get("options").split():
        if word.startswith("-"):
            (known if owner_of_option(word) else unknown).append(word.partition("=")[0])
    return known, unknown


@rule(
    "pytest.plugin.missing",
    texts=[*_UNKNOWN, r"ERROR: Missing required plugins: (?P<plugins>.+)"],
    explains=[*_NOTHING_RAN, "pytest.config.unknown-key"],
    layer="tool",
)
def plugin_missing(seen: Seen) -> Finding | None:
    """The command uses an option of a pytest plugin that is not installed.

    Why: The plugin is missing in this environment: the development dependencies were not
    installed, or another interpreter runs. Seldom it is installed and not loaded (-p no:NAME,
    PYTEST_DISABLE_PLUGIN_AUTOLOAD).

    Fix: Install the plugin into the environment that runs pytest.
    """
    if seen.get("plugins"):
        wanted = [one.strip() for one in seen.get("plugins").split(",")]
        names = [re.split(r"[^\w.-]", one)[0] for one in wanted]
        title = f"required_plugins names what is not installed: {', '.join(wanted)}"
    else:
        known, _ = _options(seen)
        if not known:
            return None
        names = list(dict.fromkeys(owner_of_option(one) for one in known))
        title = (
            f"pytest does not know {', '.join(known)}: {' and '.join(names)} "
            f"{'is' if len(names) == 1 else 'are'} not loaded"
        )
    present = [name for name in names if name in seen.get("installed").split()]
    if present == names:
        return seen.finding(
            title=title,
            cause=f"{' and '.join(present)} is installed, but kept out by -p no:… or by "
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD",
            fix="let pytest load it, or leave its options out (look at addopts, too)",
        )
    return seen.finding(
        title=title,
        cause="the plugin is not installed in the environment that runs pytest",
        fix="install it, or leave its options out (look at addopts, too)",
        command=pip_install(*(name for name in names if name not in present)),
    )


@rule("pytest.usage.unknown-option", texts=_UNKNOWN, explains=_NOTHING_RAN, layer="tool")
def unknown_option(seen: Seen) -> Finding | None:
    """Pytest was given an option that nothing here defines.

    Why: A typing error, or the conftest.py that defines it is not loaded: only conftest files of
    the start directory and of the named paths are read before options are.

    Fix: Correct the option, or name the directory whose conftest.py defines it.
    """
    known, unknown = _options(seen)
    if known or not unknown:
        return None
    if all(one in _YOUNG for one in unknown):
        return seen.finding(
            title=f"this pytest does not know {', '.join(unknown)}",
            cause="the option came with a later release of pytest",
            fix="install a newer pytest",
            command=pip_install("pytest", upgrade=True),
        )
    return seen.finding(
        title=f"pytest does not know {', '.join(unknown)}",
        cause="a typing error, or the conftest.py that defines it is not loaded from here",
        fix="correct the option, or name the directory whose conftest.py defines it",
    )


@rule(
    "pytest.plugin.import",
    texts=[r"Error importing plugin \"(?P<plugin>[^\"]+)\": (?P<why>.+)"],
    explains=_NOTHING_RAN,
    layer="tool",
)
def plugin_import(seen: Seen) -> Finding:
    """A plugin that pytest was told to load cannot be imported.

    Why: The name after -p, or in pytest_plugins or PYTEST_PLUGINS, is wrong, its distribution is
    not installed, or it fails while it is imported.

    Fix: Install it, or correct the name.
    """
    plugin, why = seen.get("plugin"), seen.get("why").strip()
    owner = owner_of_plugin(plugin)
    absent = f"No module named '{plugin.partition('.')[0]}" in why
    return seen.finding(
        title=f"the pytest plugin {plugin} cannot be imported",
        cause="it is not installed, or its name is wrong" if absent else why,
        fix="install it, or correct the name after -p (or in pytest_plugins, PYTEST_PLUGINS)"
        if absent
        else "mend what it says",
        command=pip_install(owner) if absent else "",
    )


@rule(
    "pytest.config.unknown-key",
    texts=[r"(?P<strict>^ERROR: )?\bUnknown config option: (?P<key>[\w.-]+)"],
    severity="warning",
    layer="tool",
)
def unknown_key(seen: Seen) -> Finding:
    """A key of pytest's configuration belongs to nothing that is installed.

    Why: The plugin that reads it is not installed, so what it asks for does not happen; or it is
    misspelt. With --strict-config the run ends there.

    Fix: Install the plugin, or remove the key.
    """
    key = seen.get("key")
    owner = owner_of_ini_key(key)
    return seen.finding(
        title=f"nothing here knows pytest's configuration key {key}",
        cause=f"{owner}, which reads it, is not installed"
        if owner
        else "it is misspelt, or its plugin is not installed",
        fix="install the plugin, or remove the key",
        command=pip_install(owner),
        severity="error" if seen.get("strict") else "warning",
    )


@rule(
    "pytest.marker.unregistered",
    texts=[
        r"'(?P<marker>[^']+)' not found in `markers` configuration option",
        r"(?P<warned>: )?\bPytestUnknownMarkWarning: Unknown pytest\.mark\.(?P<marker>\w+)",
        r"Unknown marker\(s\) in '-m' expression: (?P<marker>.+?)\. Use 'pytest --markers'",
    ],
    layer="tool",
)
def unregistered(seen: Seen) -> Finding:
    """A test uses a marker that is not registered.

    Why: With --strict-markers, or where warnings are errors, an unregistered marker is an error,
    because a misspelt one selects nothing. It may belong to a plugin that is not installed.

    Fix: Register it: markers = ["slow: takes long"] in [tool.pytest.ini_options]; or install the
    plugin it belongs to.
    """
    marker = seen.get("marker")
    owner = owner_of_marker(marker)
    several = "," in marker
    return seen.finding(
        title=f"the marker{'s' if several else ''} {marker} {'are' if several else 'is'} "
        "not registered",
        cause=f"it is one of {owner}, which is not installed"
        if owner
        else "it is misspelt, or nobody has registered it",
        fix=f"install {owner}"
        if owner
        else f'add "{marker.partition(",")[0]}: what it means" to markers in '
        "[tool.pytest.ini_options]",
        command=pip_install(owner),
        severity="warning" if seen.get("warned") else "error",
    )


@rule(
    "pytest.max-warnings",
    source="pytest",
    codes=["6"],
    texts=[r"maximum allowed warnings exceeded: (?P<count>\d+) > (?P<most>\d+)"],
    layer="tool",
)
def max_warnings(seen: Seen) -> Finding:
    """All tests passed, and there were more warnings than --max-warnings allows.

    Why: Pytest then ends with exit code 6; no test has failed.

    Fix: Mend the warnings that the summary lists, or raise --max-warnings.
    """
    count, most = seen.get("count"), seen.get("most")
    return seen.finding(
        title=f"{count} warnings, where --max-warnings allows {most}"
        if count
        else "there are more warnings than --max-warnings allows",
        cause="all tests passed; the number of warnings alone is why pytest ended with 6",
        fix="mend what the warnings summary lists, or raise --max-warnings",
    )


@rule(
    "pytest.version.old",
    texts=[
        r"'minversion' requires pytest-(?P<wanted>[\w.]+), actual pytest-(?P<actual>[\w.]+?)'?$"
    ],
    explains=_NOTHING_RAN,
    layer="tool",
)
def version_old(seen: Seen) -> Finding:
    """The project asks for a newer pytest than the one that runs.

    Why: minversion in pytest's configuration is higher than the installed version, or another
    environment's pytest runs.

    Fix: Install a newer pytest into the environment that runs the tests.
    """
    wanted, actual = seen.get("wanted"), seen.get("actual")
    return seen.finding(
        title=f"pytest {actual} runs, and the project asks for {wanted}",
        cause="minversion in pytest's configuration is higher than the version that is installed",
        fix="install a newer pytest",
        command=pip_install(f"pytest>={wanted}"),
    )

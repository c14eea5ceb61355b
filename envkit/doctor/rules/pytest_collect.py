"""What keeps pytest from importing tests: conftests, modules, names, classes."""

from __future__ import annotations

import re
import sys
from typing import Final

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding
from envkit.doctor.pytest_plugins import pip_install
from envkit.doctor.rules.driver import DRIVERS

__all__: list[str] = []

#: What explains that no test ran; nobody needs to hear of an empty selection beside it.
_NOTHING_RAN: Final = ["pytest.select.empty"]
_STOPPED: Final = [
    *_NOTHING_RAN,
    "pytest.node.missing",
    "pytest.collect.interrupted",
    "pytest.conftest.import",
]
# What raises where a module is imported.
_AT_IMPORT: Final = [
    *("driver.", "secret.", "platform.", "dsn.", "net.", "pg.", "redis.", "ch.", "app."),
    "pytest.marker.unregistered",
]
# Where the distribution has another name than its module.
_DISTRIBUTIONS: Final = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "docker": "docker",
    "dotenv": "python-dotenv",
    "envkit": "envkit-services",
    "fastapi": "fastapi",
    "flask": "flask",
    "freezegun": "freezegun",
    "google.protobuf": "protobuf",
    "httpx": "httpx",
    "hypothesis": "hypothesis",
    "jose": "python-jose",
    "jwt": "PyJWT",
    "Crypto": "pycryptodome",
    "magic": "python-magic",
    "multipart": "python-multipart",
    "numpy": "numpy",
    "pandas": "pandas",
    "PIL": "pillow",
    "pkg_resources": "setuptools",
    "pydantic": "pydantic",
    "pydantic_settings": "pydantic-settings",
    "pytest_asyncio": "pytest-asyncio",
    "pytest_mock": "pytest-mock",
    "requests": "requests",
    "rest_framework": "djangorestframework",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "sqlalchemy": "sqlalchemy",
    "starlette": "starlette",
    "testcontainers": "testcontainers",
    "websocket": "websocket-client",
    "websockets": "websockets",
    "yaml": "PyYAML",
    "zmq": "pyzmq",
}
_OF_THE_PROJECT: Final = ("app", "conftest", "src", "test", "tests")


@rule(
    "pytest.conftest.import",
    texts=[
        r"ImportError while loading conftest '(?P<path>[^']+)'",
        r"\bConftestImportFailure: (?P<why>.+?) \(from (?P<path>[^)]+)\)",
        r"\bConftestImportFailure: \(\w+\('(?P<path>[^']+)'\), \(<class '(?P<why>[\w.]+)'>",
    ],
    explains=["pytest.select.empty", "pytest.node.missing", "pytest.plugin.import"],
    explained_by=_AT_IMPORT,
    layer="tool",
)
def conftest(seen: Seen) -> Finding:
    """A conftest.py cannot be imported, so pytest ends before it has looked for tests.

    Why: It, or something that it imports, raises: a missing dependency or setting, or a fault in
    its code. Whatever the message after it says is the cause.

    Fix: Mend what the exception under it says.
    """
    path, why = seen.get("path"), seen.get("why")
    return seen.finding(
        title=f"{path} cannot be imported",
        cause=why or "it, or something it imports, raises: a dependency, a setting or its code",
        fix="mend what the exception under it says",
    )


def _plain(path: str) -> bool:
    return bool(re.fullmatch(r"[\w./+@-]+", path))


@rule(
    "pytest.collect.module-missing",
    source="python",
    codes=["ModuleNotFoundError"],
    # Not what pytest's summary leaves of it in 80 columns: "No module named ..."
    texts=[
        r"(?:ModuleNotFoundError|ImportError): No module named '(?P<module>\w[\w.]*)'",
        r"(?:ModuleNotFoundError|ImportError): No module named (?P<module>\w[\w.]*\b)(?!\.)",
    ],
    explains=[*_STOPPED, "pytest.plugin.import"],
    layer="tool",
)
def module_missing(seen: Seen) -> Finding | None:
    """A module that is imported is not installed.

    Why: The dependencies of the project or of its tests were not installed into this interpreter,
    the project itself is not installed, or its directory is not where Python looks.

    Fix: Install what has the module; a module of the project's own needs pip install -e . or
    pythonpath in [tool.pytest.ini_options].
    """
    module = seen.get("module")
    top = module.partition(".")[0]
    # Those are `driver.missing` and `platform.module-missing`.
    if top in DRIVERS or top in sys.stdlib_module_names or module.startswith("sqlalchemy.dialects"):
        return None
    if not module:
        return None
    known = _DISTRIBUTIONS.get(module) or _DISTRIBUTIONS.get(top, "")
    if top in _OF_THE_PROJECT:
        return seen.finding(
            title=f"there is no module {module}",
            cause="it looks like one of the project's own, in a directory that Python does not "
            "look in",
            fix='install the project (pip install -e .), or set pythonpath = ["."] in '
            "[tool.pytest.ini_options]",
        )
    return seen.finding(
        title=f"there is no module {module}",
        cause="what has it is not installed for this interpreter"
        if known
        else "what has it is not installed for this interpreter; if it is the project's own, the "
        "project is not installed",
        fix="install what has it"
        if known
        else "install what has it (pip install -e . for the project's own)",
        command=pip_install(known),
    )


@rule(
    "pytest.collect.import-name",
    texts=[
        r"ImportError: cannot import name '?(?P<name>\w+)'? from (?P<half>partially initialized "
        r"module )?'(?P<module>[^']+)'(?: \((?P<circular>most likely due to a circular import)"
        r"\))?(?: ?\((?P<path>[^)]+)\))?",
    ],
    severity="info",
    explains=_STOPPED,
    layer="tool",
)
def import_name(seen: Seen) -> Finding:
    """A module has no such name as is imported from it: this is code, not environment.

    Why: The name was renamed or removed, two modules import each other, or the code was written
    for another release of the library.

    Fix: Correct the import; for a library, install the release that the code was written for.
    """
    name, module = seen.get("name"), seen.get("module")
    library = "site-packages" in seen.get("path") or "dist-packages" in seen.get("path")
    if seen.get("half"):
        cause, fix = "two modules import each other", "take one of the two imports out of the way"
    elif library:
        cause = f"this is your code, or another release of {module} than it was written for"
        fix = f"correct the import, or install the release of {module} that has {name}"
    else:
        cause = "this is your code, not the environment: the name was renamed or removed"
        fix = "correct the import"
    return seen.finding(title=f"{module} has no name {name}", cause=cause, fix=fix)


@rule(
    "pytest.collect.import-mismatch",
    texts=[
        r"^imported module '(?P<module>[^']+)' has this __file__ attribute:\s*\n\s+(?P<one>.+)"
        r"(?:\nwhich is not the same as the test file we want to collect:\s*\n\s+(?P<two>.+))?",
        r"Import(?:Path)?MismatchError: \('(?P<module>[^']+)', '(?P<one>[^']+)', "
        r"\w+\('(?P<two>[^']+)'\)\)",
    ],
    explains=_STOPPED,
    layer="tool",
)
def import_mismatch(seen: Seen) -> Finding:
    """Two test files have the same module name, so that only one of them can be imported.

    Why: Files of one name in two directories without __init__.py; a stale copy of the tests under
    build/lib; or compiled files (__pycache__) that came along from another place.

    Fix: Rename one, or use --import-mode=importlib; remove stale copies.
    """
    module, one, two = seen.get("module"), seen.get("one").strip(), seen.get("two").strip()
    stale = next((path for path in (one, two) if "/build/lib" in path), "")
    if stale:
        build = stale.partition("/build/lib")[0] + "/build"
        return seen.finding(
            title=f"{stale} is a stale copy of another test file",
            cause="a former build left a copy of the tests, and pytest finds both",
            fix="remove what the build left",
            command=f"rm -r {build}" if _plain(build) else "",
        )
    return seen.finding(
        title=f"two test files are both the module {module}",
        cause=f"{one} and {two} have the same name and no package that tells them apart"
        if two
        else f"another file of this name than {one} was found; no package tells them apart",
        fix='rename one of them, or add "--import-mode=importlib" to addopts',
    )


@rule(
    "pytest.collect.init-class",
    source="pytest",
    codes=["5"],
    texts=[
        r"cannot collect test class '?(?P<class>\w+)'? because it has a __(?P<method>init|new)__ "
        r"constructor(?: \(from: (?P<file>[^)]+)\))?",
    ],
    severity="warning",
    layer="tool",
)
def init_class(seen: Seen) -> Finding | None:
    """A class named Test… has a constructor, so that pytest does not collect its tests.

    Why: Pytest makes each instance itself. A helper class whose name begins with Test looks like a
    test class, too.

    Fix: Tests: use setup_method or fixtures. A helper: rename it, or set __test__ = False in it.
    """
    if seen.match is None:
        return None
    name, file = seen.get("class"), seen.get("file")
    return seen.finding(
        title=f"the tests of {name} are not collected" + (f" ({file})" if file else ""),
        cause=f"it has __{seen.get('method')}__, and pytest makes instances of test classes itself",
        fix="use setup_method or fixtures; a helper: rename it, or set __test__ = False in it",
    )


@rule(
    "pytest.collect.interrupted",
    texts=[r"Interrupted: (?P<count>\d+) errors? during collection"],
    explains=_NOTHING_RAN,
    explained_by=_AT_IMPORT,
    layer="tool",
)
def interrupted(seen: Seen) -> Finding:
    """Pytest stopped before the first test, because files could not be collected.

    Why: Each of the errors has its own cause, listed above it; no test has run.

    Fix: Mend each; --continue-on-collection-errors runs what could be collected (exit code 1).
    """
    count = seen.get("count")
    several = count != "1"
    return seen.finding(
        title=f"{count} error{'s' if several else ''} during collection, so no test ran",
        cause=seen.get("errors")
        or ("each error has its own cause, listed above it" if several else "see the error above"),
        fix="mend each; pytest --continue-on-collection-errors runs what could be collected",
    )

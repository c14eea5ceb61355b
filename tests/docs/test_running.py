"""A page that says what is not so fails, and one that is right leaves nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.docs.pages import ROOT

CONFTEST = """\
from sybil import Sybil

from tests.docs.running import examples

pytest_collect_file = Sybil(parsers=[examples], patterns=["*.md"]).pytest()
"""
#: Pages, and what is said of them if they are wrong.
PAGES = {
    "block_that_fails": ("```sh\nfalse\ntrue\n```\n", "exit code 1"),
    "program_that_fails": ("```python\nassert 1 == 2\n```\n", "AssertionError"),
    "test_that_fails": ("```python\ndef test_it():\n    assert 1 == 2\n```\n", "1 failed"),
    "other_output": ("```console\n$ echo tea\ncake\n```\n", "-- printed\ntea"),
    "output_in_other_order": ("```console\n$ printf 'a\\nb\\n'\nb\na\n```\n", "-- printed"),
    "output_that_is_not_told": ("```console\n$ echo tea\n```\n", "-- printed\ntea"),
    "what_is_not_installed": ("```sh\npip install no-such-thing\n```\n", "is not installed"),
    "extra_that_is_not_there": (
        "```sh\npip install 'envkit-services[no-such-extra]'\n```\n",
        "has no extra no-such-extra",
    ),
    "misspelt_key": ("```toml\n[tool.envkit]\nbackand = 'auto'\n```\n", "backand"),
    "json_that_is_none": ("```json\n{a}\n```\n", "Expecting property name"),
    "workflow_with_a_slip": ("```yaml\n- uses: a/b@c\n  whit: {}\n```\n", "whit"),
    "job_with_a_slip": ("```yaml\ntests:\n  script: [pytest]\n  imagine: a\n```\n", "imagine"),
    "file_outside": ('```sh title="../a"\n```\n\n```sh\ntrue\n```\n', "is outside"),
    "file_that_fails_later": (
        '```python title="a.py"\nprint("tea")\n```\n\n```sh\npython a.py\n```\n\n'
        '```python title="a.py"\nraise SystemExit(3)\n```\n\n```sh\npython a.py\n```\n',
        "exit code 3",
    ),
    "servers_left_elsewhere": (
        '```toml title="a/envkit.toml"\nservices = ["redis"]\n```\n\n'
        "```sh\ncd a && envkit up\n```\n",
        "are still running",
    ),
    "right": (
        '```python title="app/a.py"\nprint(1)\n```\n\n'
        "```sh\npip install pytest 'envkit-services[embedded]' && test -f app/a.py\n```\n\n"
        "```console\n$ python app/a.py\n2\n$ printf 'a\\nb\\nc\\nd 5  e\\n'\n"
        "a\n…\nd 12   …\n```\n\n"
        "<!-- not run: nobody could -->\n```sh\nfalse\n```\n\n"
        "```yaml\non: push\njobs: {a: {runs-on: b, steps: [{run: c}]}}\n```\n",
        "",
    ),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What pytest reports of each page, by its name; of one that is right, nothing."""
    place = tmp_path_factory.mktemp("pages")
    (place / "conftest.py").write_text(CONFTEST)
    (place / "pytest.ini").touch()
    for name, (text, _) in PAGES.items():
        (place / f"{name}.md").write_text(text)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=place,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert f"{len(PAGES) - 1} failed, 1 passed" in ended.stdout, ended.stdout
    parts = re.split(r"^_+ (\w+)\.md line=\d+ column=1 _+$", ended.stdout, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"right"}))
def test_page_that_is_wrong_fails_and_says_what_is(said: dict[str, str], page: str) -> None:
    assert PAGES[page][1] in said[page]
    assert f"{page}.md" in said[page]


def test_page_that_is_right_passes(said: dict[str, str]) -> None:
    assert "right" not in said

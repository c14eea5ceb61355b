"""What ``envkit secrets`` prints, and ``isolated_env`` gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from inline_snapshot import snapshot

from tests.secrets.declaring import GOOD

if TYPE_CHECKING:
    from tests.conftest import Project

TABLE = """
[secrets]
SERVICE_SECRET = { min_length = 32 }
JWT_SECRET = { algorithm = "HS256" }
AUTH_SERVICE_URL = { kind = "url" }
SIGNING_KEY = { algorithm = "RS256", required_in = ["ci"] }
STAGE = { one_of = ["test", "staging"] }
"""


def with_faults(project: Project) -> Project:
    project.write("envkit.toml", f"secret_dirs = []\n{TABLE}")
    text = "JWT_SECRET=changeme\nSTAGE=test\nAUTH_SERVICE_URL='http://localhost:8000 '\n"
    project.write(".env", text).chmod(0o600)
    return project


def test_check_names_what_is_fine_and_what_is_not(project: Project) -> None:
    assert with_faults(project).shown("secrets", "check") == snapshot("""\
exit code 1
-- stdout
- SIGNING_KEY       not set, and not required here
✓ STAGE             .env line 2
✗ SERVICE_SECRET is not set [secret.missing]
    not in the environment, .env
  → envkit secrets generate
    or write SERVICE_SECRET=VALUE into .env, where VALUE is a text of your own
✗ JWT_SECRET is still a placeholder [secret.placeholder]
    .env line 1
  → sed -Ei '/^ *(export +)?JWT_SECRET *=/d' .env && envkit secrets generate
    remove it there, and have another made
✗ AUTH_SERVICE_URL has blanks after it [secret.whitespace]
    .env line 3
  → write it without them
-- stderr
""")


def test_check_in_an_ascii_locale_has_no_character_that_it_lacks(project: Project) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    project.write("envkit.toml", "secret_dirs = []\n[secrets]\nA = {}\nB = {}\n")
    shown = project.shown("secrets", "check", A=GOOD, **ascii_only, PYTHONCOERCECLOCALE="0")
    assert shown == snapshot("""\
exit code 1
-- stdout
+ A  the environment
x B is not set [secret.missing]
    not in the environment, .env
  -> envkit secrets generate
     or write B=VALUE into .env, where VALUE is a text of your own
-- stderr
""")


def test_check_as_json_says_the_same(project: Project) -> None:
    ended = with_faults(project).envkit("secrets", "check", "--format", "json")
    said = json.loads(ended.stdout)
    assert (ended.returncode, said["version"], said["status"]) == (1, 1, "problems")
    assert {one["name"]: (one["source"], one["status"]) for one in said["secrets"]} == snapshot(
        {
            "SERVICE_SECRET": (None, "error"),
            "JWT_SECRET": (".env line 1", "error"),
            "AUTH_SERVICE_URL": (".env line 3", "error"),
            "SIGNING_KEY": (None, "unset"),
            "STAGE": (".env line 2", "ok"),
        }
    )
    assert [one["slug"] for one in said["verdicts"]] == snapshot(
        ["secret.missing", "secret.placeholder", "secret.whitespace"]
    )


def test_generate_makes_what_it_may_and_names_what_is_left(project: Project) -> None:
    assert with_faults(project).shown("secrets", "generate") == snapshot("""\
exit code 1
-- stdout
✓ made SERVICE_SECRET in .env
✗ JWT_SECRET is still a placeholder [secret.placeholder]
    .env line 1
  → sed -Ei '/^ *(export +)?JWT_SECRET *=/d' .env && envkit secrets generate
    remove it there, and have another made
✗ AUTH_SERVICE_URL has blanks after it [secret.whitespace]
    .env line 3
  → write it without them
-- stderr
""")


def test_generate_a_second_time_has_nothing_to_do(project: Project) -> None:
    project.write("envkit.toml", "[secrets]\nA = {}\n")
    first = project.envkit("secrets", "generate")
    content = (project.root / ".env").read_bytes()
    second = project.envkit("secrets", "generate")
    assert (first.returncode, first.stdout) == (0, "✓ made A in .env\n")
    assert (second.returncode, second.stdout) == (0, "nothing is missing\n")
    assert (project.root / ".env").read_bytes() == content


def test_generate_as_json_says_what_was_made(project: Project) -> None:
    project.write("envkit.toml", "[secrets]\nA = {}\n")
    ended = project.envkit("secrets", "generate", "--format", "json")
    assert (ended.returncode, json.loads(ended.stdout)) == snapshot(
        (
            0,
            {
                "version": 1,
                "names": ["A"],
                "file": ".env",
                "tightened": "",
                "ignored": "",
                "exposed": False,
                "verdicts": [],
            },
        )
    )


def test_without_declarations_both_say_so(project: Project) -> None:
    assert project.shown("secrets", "check") == snapshot("""\
exit code 0
-- stdout
no secrets are declared in [tool.envkit.secrets]
-- stderr
""")
    assert project.envkit("secrets", "generate").stdout == "nothing is missing\n"


def test_warnings_alone_are_no_failure(project: Project) -> None:
    project.write("envkit.toml", "[secrets]\nA = {}\nB = {}\n")
    ended = project.envkit("secrets", "check", A=GOOD, B=GOOD)
    assert ended.returncode == 0
    assert "! B has the same value as A [secret.duplicate]" in ended.stdout


def test_a_wrong_configuration_is_exit_code_2(project: Project) -> None:
    project.write("envkit.toml", "[secrets]\nA = { kin = 'url' }\n")
    for command in ("check", "generate"):
        ended = project.envkit("secrets", command)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "did you mean 'kind'?" in ended.stderr


def run_pytest(project: Project, test: str, **environment: str) -> subprocess.CompletedProcess[str]:
    project.write("test_it.py", test)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project.root,
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=60,
    )


def test_isolated_env_has_values_for_missing_secrets_in_one_test_alone(project: Project) -> None:
    project.write(
        "envkit.toml",
        'services = ["redis"]\n[secrets]\nKEY = { algorithm = "HS512" }\nSET = {}\n'
        'URL = { kind = "url" }\nNO = { generate = false }\n',
    )
    done = run_pytest(
        project,
        "import os\nseen = []\n\n"
        "def test_one(isolated_env):\n"
        "    assert len(os.environ['KEY']) >= 64\n"
        "    assert isolated_env['KEY'] == os.environ['KEY']\n"
        "    assert os.environ['SET'] == 'mine'\n"
        "    assert not {'URL', 'NO', 'SET'} & isolated_env.keys()\n"
        "    assert not {'URL', 'NO'} & os.environ.keys()\n"
        "    seen.append(os.environ['KEY'])\n\n"
        "def test_two(isolated_env):\n"
        "    assert os.environ['KEY'] not in seen\n\n"
        "def test_three(real_redis):\n"
        "    assert 'KEY' not in os.environ\n",
        SET="mine",
    )
    assert done.returncode == 0, done.stdout
    assert not (project.root / ".env").exists()


def test_isolated_env_has_what_files_have(project: Project) -> None:
    project.write("envkit.toml", 'services = ["redis"]\n[secrets]\nKEY = {}\nURL = {}\n')
    project.write(".env", "KEY=from-the-file\nOTHER=not-declared\n")
    done = run_pytest(
        project,
        "import os\n\n"
        "def test_it(isolated_env):\n"
        "    assert os.environ['KEY'] == isolated_env['KEY'] == 'from-the-file'\n"
        "    assert os.environ['URL'] == 'from-the-environment'\n"
        "    assert 'OTHER' not in os.environ\n\n"
        "def test_other(real_redis):\n"
        "    assert 'KEY' not in os.environ\n",
        URL="from-the-environment",
    )
    assert done.returncode == 0, done.stdout


def test_report_of_a_failed_test_does_not_show_a_made_secret(project: Project) -> None:
    project.write("envkit.toml", 'services = ["redis"]\n[secrets]\nKEY = {}\n')
    done = run_pytest(
        project,
        "def test_it(isolated_env):\n"
        "    print(isolated_env)\n"
        "    assert isolated_env['KEY'] == 'other'\n",
    )
    assert done.returncode == 1
    assert "'***'" in done.stdout


def test_secret_that_tests_get_made_for_them_is_a_warning(project: Project) -> None:
    project.write(
        "envkit.toml",
        "export_env = true\nsecret_dirs = []\n[secrets]\nJWT_SECRET = { algorithm = 'HS256' }\n"
        "AUTH_SERVICE_URL = { kind = 'url' }\n",
    )
    assert project.shown("secrets", "check") == snapshot("""\
exit code 1
-- stdout
! JWT_SECRET is not set; tests get one that is made for them [secret.missing]
    not in the environment, .env
  → envkit secrets generate
    or write JWT_SECRET=VALUE into .env, where VALUE is a key
✗ AUTH_SERVICE_URL is not set [secret.missing]
    not in the environment, .env
  → write AUTH_SERVICE_URL=VALUE into .env, where VALUE is a URL
-- stderr
""")
    assert project.envkit("secrets", "check", CI="true").stdout.count("✗ ") == 2

# ruff: noqa: E501 - snapshots hold lines as they are printed
"""Annotations and the step's summary."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from inline_snapshot import snapshot
from markdown_it import MarkdownIt
from msgspec import structs

from envkit.doctor.model import Finding, Report
from envkit.doctor.render import github
from envkit.doctor.render.words import clean
from tests.doctor.render.made import ENGINE_DOWN, HEALTHY, INCOMPLETE, LOG, UNEXPLAINED, reports


def with_first(report: Report, finding: Finding) -> Report:
    return structs.replace(report, findings=(finding, *report.findings[1:]))


def test_annotations() -> None:
    assert github.render(ENGINE_DOWN) == snapshot("""\
::error title=no container engine answers at unix%3A///var/run/docker.sock [docker.daemon.down]::Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?%0AWhy, probably: it is not running, or DOCKER_HOST names another one%0AFix: start it%0A→ sudo systemctl start docker%0Aexplains: nothing listens at 127.0.0.1:5432 [net.refused] postgres (DATABASE_URL)
::warning title=pyproject.toml%3A12%3A [tool.envkit] has no key 'lingr' [envkit.config.unknown-key],file=pyproject.toml,line=12::Fix: did you mean 'linger'?
envkit doctor: 1 problem, 1 warning
""")


def test_annotation_of_what_was_not_checked() -> None:
    assert github.render(INCOMPLETE) == snapshot("""\
::warning title=Redis%3A not checked::no answer within 1 s
envkit doctor: not everything could be checked
""")


def test_annotation_of_a_log_that_says_nothing_known() -> None:
    assert github.render(UNEXPLAINED) == snapshot("""\
::warning title=envkit doctor::no cause found
envkit doctor: no cause found
""")


def test_healthy_has_no_annotation() -> None:
    assert github.render(HEALTHY) == "envkit doctor: healthy\n"


def test_values_cannot_end_an_annotation_or_begin_another() -> None:
    finding = structs.replace(
        LOG.findings[0], title="100%: a, b", evidence="a\r\n::error::b\n%0A::warning::c"
    )
    first, _ = github.render(with_first(LOG, finding)).splitlines()
    assert first.startswith(
        "::error title=100%25%3A a%2C b [pg.auth.password]::a%0A::error::b%0A%250A"
    )


def test_place_in_a_file_is_annotated_there() -> None:
    finding = structs.replace(LOG.findings[0], source="tests/db/test_orders.py:42")
    first, _ = github.render(with_first(LOG, finding)).splitlines()
    assert ",file=tests/db/test_orders.py,line=42::" in first


def test_host_and_port_are_no_place_in_a_file() -> None:
    finding = structs.replace(LOG.findings[0], source="127.0.0.1:5432")
    assert "file=" not in github.render(with_first(LOG, finding))


def test_summary() -> None:
    assert github.summary(ENGINE_DOWN) == snapshot("""\
## ❌ envkit doctor: 1 problem, 1 warning

### 1. no container engine answers at unix:///var/run/docker.sock

\\[docker.daemon.down\\]

```text
Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?
```

Why, probably: it is not running, or DOCKER\\_HOST names another one

Fix: start it

```sh
sudo systemctl start docker
```

Explains:

- nothing listens at 127.0.0.1:5432 \\[net.refused\\] postgres (DATABASE\\_URL)

### 2. pyproject.toml:12: \\[tool.envkit\\] has no key 'lingr'

\\[envkit.config.unknown-key\\]

Fix: did you mean 'linger'?

<details><summary>What was looked at</summary>

| | Check | |
|---|---|---|
| ⚠️ | Project: Configuration | pyproject.toml; services postgres, redis |
| ❌ | Engine: Docker | unix:///var/run/docker.sock |
| ❌ | Services: Postgres | 18\\.6 at 127.0.0.1:5432 |
| ✅ | Services: Redis | Valkey 9.1.0 at 127.0.0.1:6379 |

</details>
""")


def test_evidence_cannot_end_its_block() -> None:
    finding = structs.replace(LOG.findings[0], evidence="a\n````\n# b")
    fences = [
        one
        for one in MarkdownIt().parse(github.summary(with_first(LOG, finding)))
        if one.type == "fence"
    ]
    assert fences[0].content == "a\n````\n# b\n"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(reports())
def test_summary_shows_values_as_they_are(report: Report) -> None:
    tokens = MarkdownIt().enable("table").parse(github.summary(report))
    inline = [one for token in tokens for one in token.children or ()]
    assert {one.content for one in inline if one.type == "html_inline"} == set()
    assert {one.type for one in inline} <= {"text", "text_special", "html_inline", "softbreak"}
    headings = [
        tokens[i + 1] for i, one in enumerate(tokens) if one.tag == "h3" and one.nesting == 1
    ]
    told = ["".join(one.content for one in token.children or ()) for token in headings]
    titles = [one.title for one in clean(report).findings]
    assert told == [f"{number}. {one}".rstrip() for number, one in enumerate(titles, start=1)]

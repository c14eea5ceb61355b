"""Secrets: each verdict of `envkit.secrets` is a finding; here is what they mean."""

from __future__ import annotations

from envkit.doctor.engine import Seen, rule
from envkit.doctor.model import Finding

__all__: list[str] = []


def _as_judged(seen: Seen) -> Finding:
    return seen.finding(
        title=seen.symptom.text.partition("\n")[0],
        cause=seen.rule.why,
        fix=seen.get("hint", seen.rule.fix),
        command=seen.get("command"),
    )


@rule(
    "secret.missing",
    source=("secret", "python"),
    codes=["secret.missing", "KeyError"],
    texts=[
        r"\bin __getitem__\n(?:[^\S\n][^\n]*\n|\n)*KeyError: '(?P<name>\w+)'$",
        # Of any dictionary: it counts if the project has declared a secret of this name.
        r"\bKeyError: '(?P<key>[A-Za-z_]\w*)'",
        # django-environ, python-decouple, environs, pydantic-settings 2 and 1, docker compose
        r"ImproperlyConfigured: Set the (?P<name>\w+) environment variable",
        r"\bUndefinedValueError: (?P<name>\w+) not found\. Declare it as envvar",
        r"\bEnvError: Environment variable \"(?P<name>\w+)\" not set",
        r"validation errors? for \w*(?:Settings|Config)\n(?P<name>\w+)\n\s+field required",
        r"required variable (?P<name>\w+) is missing a value",
        r"The \\?\"(?P<blank>\w+)\\?\" variable is not set\. Defaulting to a blank string",
        # Postgres' image
        r"Database is uninitialized and superuser password is not specified",
    ],
    layer="tool",
    explains=["docker.container.exited", "docker.container.unhealthy"],
)
def missing(seen: Seen) -> Finding | None:
    """A secret or setting that the tests need is not there.

    Why: It is set neither in the environment, nor in an .env file, nor in a directory of secrets.
    Applications often go on without it and answer 401 or 403 much later.

    Fix: Export it, or let envkit write a local one into .env: envkit secrets generate.
    """
    if seen.symptom.source == "secret":
        return _as_judged(seen)
    name = seen.get("name") or seen.get("blank")
    if key := seen.get("key"):
        if key not in seen.facts.secrets:
            return None  # some other dictionary
        name = key
    name = name or "POSTGRES_PASSWORD"
    return seen.finding(
        title=f"{name} is not set",
        cause="whoever reads it finds it neither in the environment nor in a file that it loads",
        fix="export it, or write a local one into .env: envkit secrets generate; the fixture "
        "isolated_env gives it to a test",
        severity="warning" if seen.get("blank") else None,
        confidence="likely" if seen.get("blank") or key else None,
    )


@rule(
    "secret.empty",
    source="secret",
    codes=["secret.empty"],
    texts=[r"ImproperlyConfigured: The (?P<name>\w+) setting must not be empty"],
    layer="host",
)
def empty(seen: Seen) -> Finding:
    """A secret is there and has nothing in it.

    Why: A variable that is set to nothing counts as set for most programs. CI services give an
    empty text for a secret that a fork or another environment may not see.

    Fix: Give it a value, or unset it.
    """
    if seen.match is None:
        return _as_judged(seen)
    return seen.finding(
        title=f"{seen.get('name')} is empty",
        cause="Django's settings take it from a variable that is not set or has nothing in it",
        fix="give it a value",
    )


@rule("secret.whitespace", source="secret", codes=["secret.whitespace"], layer="host")
def whitespace(seen: Seen) -> Finding:
    r"""A secret begins or ends with a blank or a new line.

    Why: It was written with echo instead of printf '%s', or copied with its line end. Servers
    compare every byte, so it is another secret than the one that was meant.

    Fix: Store it again without: printf '%s' "$VALUE".
    """
    return _as_judged(seen)


@rule("secret.quoted", source="secret", codes=["secret.quoted"], layer="host")
def quoted(seen: Seen) -> Finding:
    """A secret has quotes around it that belong to a file's syntax.

    Why: docker's --env-file and most CI services take quotes literally; shells and python-dotenv
    take them away.

    Fix: Write the value without quotes where it is set.
    """
    return _as_judged(seen)


@rule("secret.placeholder", source="secret", codes=["secret.placeholder"], layer="host")
def placeholder(seen: Seen) -> Finding:
    """A secret still has the value of a template.

    Why: .env was copied from its example and never filled in, or a ${…} in it was never expanded.

    Fix: Put a real value in its place, or remove the line and run: envkit secrets generate.
    """
    return _as_judged(seen)


@rule("secret.short", source="secret", codes=["secret.short"], layer="host")
def short(seen: Seen) -> Finding:
    """A key is shorter than its algorithm or the project demands.

    Why: RFC 7518, section 3.2, wants a key for HS256 of at least 32 bytes (HS384: 48, HS512: 64),
    and libraries begin to refuse shorter ones.

    Fix: Make a new one: openssl rand -hex 32.
    """
    return _as_judged(seen)


@rule(
    "secret.low-entropy",
    source="secret",
    codes=["secret.low-entropy"],
    severity="warning",
    confidence="likely",
    layer="host",
)
def low_entropy(seen: Seen) -> Finding:
    """A secret is long enough and easy to guess all the same.

    Why: It repeats itself or consists of few different characters, as what is typed by hand does.

    Fix: Make a random one: openssl rand -hex 32.
    """
    return _as_judged(seen)


@rule("secret.duplicate", source="secret", codes=["secret.duplicate"], layer="host")
def duplicate(seen: Seen) -> Finding:
    """Two secrets that should differ have the same value.

    Why: One was copied for the other, so whoever learns one has both, and a test that mixes them up
    passes.

    Fix: Make another one for one of them: openssl rand -hex 32.
    """
    return _as_judged(seen)


@rule("secret.malformed", source="secret", codes=["secret.malformed"], layer="host")
def malformed(seen: Seen) -> Finding:
    """A value is not of the kind that it is declared to be.

    Why: A URL without its scheme, a key without its BEGIN line, a value that is none of those
    allowed, or something else under the wrong name.

    Fix: Correct it; the declaration in [tool.envkit.secrets] says what is expected.
    """
    return _as_judged(seen)


@rule("secret.production", source="secret", codes=["secret.production"], layer="host")
def production(seen: Seen) -> Finding:
    """A URL for the tests leads to what looks like production.

    Why: A variable of a deployment is still set in this shell, or a file was copied from one.

    Fix: Point it at a server for tests, or unset it.
    """
    return _as_judged(seen)


@rule("secret.file-tracked", source="secret", codes=["secret.file-tracked"], layer="host")
def file_tracked(seen: Seen) -> Finding:
    """Git tracks a file with secrets in it.

    Why: It was added before .gitignore named it; whoever can read the repository can read them.

    Fix: git rm --cached the file, add it to .gitignore, and change the secrets.
    """
    return _as_judged(seen)


@rule(
    "secret.file-open",
    source="secret",
    codes=["secret.file-open"],
    severity="warning",
    layer="host",
)
def file_open(seen: Seen) -> Finding:
    """A file with secrets can be read by other users of this machine.

    Why: It was made with the usual mode 0644.

    Fix: chmod 600 the file.
    """
    return _as_judged(seen)


@rule("secret.file-unwritable", source="envkit", codes=["secret.file-unwritable"], layer="host")
def file_unwritable(seen: Seen) -> Finding:
    """Values for missing secrets were made and cannot be written.

    Why: The file or its directory may not be changed by this user, the disk is full, or the file
    ends in a way that would swallow what is appended.

    Fix: Make the first of env_files writable, or name another one in [tool.envkit].
    """
    return _as_judged(seen)

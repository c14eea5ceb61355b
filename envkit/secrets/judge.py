"""What to say of each declared secret; no file is read and nothing is asked here."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from envkit.declared import Secret
from envkit.secrets.faults import KEY_BYTES, Standard, fault
from envkit.secrets.sources import Found, Sources
from envkit.secrets.verdict import Verdict

__all__ = ["judge"]


def judge(
    secrets: Mapping[str, Secret], sources: Sources, standard: Standard
) -> tuple[Verdict, ...]:
    """At most one verdict about each secret, the most telling; in the order of declaration."""
    verdicts: dict[str, Verdict] = {}
    for name, secret in secrets.items():
        found = sources.found.get(name)
        if found is None:
            verdict = _missing(secret, sources, standard)
        else:
            verdict = _of_value(secret, found, standard)
        if verdict is not None:
            verdicts[name] = verdict
    for name, secret in secrets.items():
        if name in sources.found and name not in verdicts:
            verdict = _duplicate(secret, secrets, sources, verdicts)
            if verdict is not None:
                verdicts[name] = verdict
    return tuple(verdicts[name] for name in secrets if name in verdicts)


def _missing(secret: Secret, sources: Sources, standard: Standard) -> Verdict | None:
    if standard.place not in secret.required_in:
        return None
    reasons = [*sources.unread, *sources.unread_of.get(secret.name, ())]
    unread = f" (could not be read: {'; '.join(reasons)})" if reasons else ""
    # What is made in a job of CI is gone with it, and its owner would never know.
    makes = secret.generate and standard.env_file and standard.place == "local"
    command = "envkit secrets generate" if makes else ""
    advice = _how_to_set(secret, standard)
    given = standard.given and secret.generate and secret.is_random_text
    return Verdict(
        slug="secret.missing",
        name=secret.name,
        source=f"not in {standard.looked}",
        observed=f"{secret.name} is not set{unread}"
        + ("; tests get one that is made for them" if given else ""),
        advice=f"or {advice}" if command else advice,
        command=command,
        # Whatever runs without pytest finds none.
        severity="warning" if given and standard.place == "local" else "error",
    )


def _how_to_set(secret: Secret, standard: Standard) -> str:
    kind = {
        "url": "a URL",
        "dsn": "a URL",
        "pem": "a key in PEM form",
        "one-of": f"one of {', '.join(secret.one_of)}",
        "jwt": "a key" if secret.is_random_text else "a key in PEM form",
    }.get(secret.kind, "a text of your own" if standard.place == "local" else "a value")
    if standard.place == "ci":
        return f"give this job {kind} in the variable {secret.name}, from the CI's own secrets"
    if not standard.env_file:
        return f"set {secret.name} to {kind}"
    if secret.one_of:
        return f"write {secret.name}={secret.one_of[0]} into {standard.env_file}; allowed: " + (
            ", ".join(secret.one_of)
        )
    return f"write {secret.name}=VALUE into {standard.env_file}, where VALUE is {kind}"


def _of_value(secret: Secret, found: Found, standard: Standard) -> Verdict | None:
    value = found.value.reveal()
    required = standard.place in secret.required_in
    if not value.strip():
        return _empty(secret, found, standard) if required else None
    wrong = fault(secret, value, standard, in_file=found.origin == "file")
    if wrong is None:
        return None
    advice, command = wrong.advice, wrong.command
    if not advice:
        advice, command = _other_value(secret, found)
    elif wrong.slug == "secret.whitespace" and found.origin == "file":
        path = shlex.quote(str(found.path))
        strip = f'value="$(tr -d \'\\r\\n\' < {path})" && printf %s "$value" > {path}'
        command = strip if command else ""
    elif found.origin != "environment":
        command = ""
    return Verdict(
        slug=wrong.slug,
        name=secret.name,
        source=found.source,
        observed=f"{secret.name} {wrong.what}",
        advice=advice,
        command=command,
        severity=wrong.severity if required else "warning",
    )


def _empty(secret: Secret, found: Found, standard: Standard) -> Verdict:
    advice = _how_to_set(secret, standard)
    command = ""
    if found.origin == "environment":
        advice = f"unset it, so that other places count, or {advice}"
    if secret.generate and standard.env_file and found.origin != "file":
        unset = f"unset {secret.name} && " if found.origin == "environment" else ""
        command = f"{unset}envkit secrets generate"
    return Verdict(
        slug="secret.empty",
        name=secret.name,
        source=found.source,
        observed=f"{secret.name} is set to nothing",
        advice=advice,
        command=command,
    )


def _other_value(secret: Secret, found: Found) -> tuple[str, str]:
    """What to do where only another value helps."""
    if not secret.generate:
        return f"put another value there: {found.source}", ""
    if found.origin == "env-file" and found.lines:
        first, last = found.lines
        file, _, _ = found.source.rpartition(" line ")
        if first != last:
            return f"remove lines {first} to {last} of {file}, then: envkit secrets generate", ""
        # By its name: the number of the line is another one after the next command.
        return (
            "remove it there, and have another made",
            f"sed -Ei '/^ *(export +)?{secret.name} *=/d' {shlex.quote(file)}"
            " && envkit secrets generate",
        )
    size = max(32, -(-max(secret.min_length, KEY_BYTES.get(secret.algorithm, 0)) // 2))
    random = f"openssl rand -hex {size}"
    if found.origin == "environment" and not secret.pattern:
        return "set another value", f'export {secret.name}="$({random})"'
    return f"put another value there: {found.source}", ""


def _duplicate(
    secret: Secret,
    secrets: Mapping[str, Secret],
    sources: Sources,
    verdicts: Mapping[str, Verdict],
) -> Verdict | None:
    found = sources.found[secret.name]
    value = found.value.reveal().strip()
    # Of two that happen to be alike, the later one is told of.
    names = list(secrets)
    earlier = [name for name in names[: names.index(secret.name)] if secrets[name].is_random_text]
    for name in dict.fromkeys([*secret.differs_from, *(earlier if secret.is_random_text else ())]):
        other = sources.found.get(name)
        if not value or other is None or name in verdicts:
            continue
        if other.value.reveal().strip() == value:
            advice, command = _other_value(secret, found)
            return Verdict(
                slug="secret.duplicate",
                name=secret.name,
                source=found.source,
                observed=f"{secret.name} has the same value as {name}",
                advice=advice,
                command=command,
                severity="error" if name in secret.differs_from else "warning",
            )
    return None

"""What can be wrong with one value, the most telling first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from envkit.declared import Place, Secret
from envkit.secrets import urls
from envkit.secrets.entropy import estimated_bits
from envkit.secrets.pem import NotPem, read_pem
from envkit.secrets.placeholders import is_placeholder
from envkit.secrets.verdict import Severity

__all__ = ["KEY_BYTES", "Fault", "Standard", "fault"]

#: https://www.rfc-editor.org/rfc/rfc7518#section-3.2: at least the size of the hash's output.
KEY_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
# https://www.rfc-editor.org/rfc/rfc7518#section-3.3 and 3.5
_RSA_BITS: Final = 2048
_FAMILIES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "EdDSA"}
_LIKE: Final = "http://localhost:8000/path"
_WITHOUT_LINE_BREAK: Final = """export {name}="$(printf %s "${name}" | tr -d '\\r\\n')\""""
# What is random looks a little less so now and then.
_TOLERANCE: Final = 0.8
# Below these a value is a word or a row of keys; what is between them and random is for
# min_entropy to say.
_LEAST_BITS: Final = {"opaque": 24.0, "jwt": 64.0}


class Standard(Struct, frozen=True, kw_only=True):
    """What values are measured by, beside their declarations.

    Attributes:
        place: Where this runs.
        templates: Values that the project's ``.env.example`` and the like give, by name.
        allow: Targets that tests may use, as in ``[tool.envkit.attach]``.
        env_file: The file that people write secrets into, as it is shown; empty if there is none.
        looked: Where values are looked for, in words.
        given: Whether tests find values made for them where there are none (``export_env``).
    """

    place: Place = "local"
    templates: Mapping[str, set[str]] = {}
    allow: Sequence[str] = ()
    env_file: str = ".env"
    looked: str = "the environment"
    given: bool = False


class Fault(NamedTuple):
    """What is wrong with one value.

    Attributes:
        what: Follows the secret's name.
        advice: Empty where another value is all that helps.
    """

    slug: str
    what: str
    advice: str = ""
    command: str = ""
    severity: Severity = "error"


def fault(secret: Secret, value: str, standard: Standard, *, in_file: bool = False) -> Fault | None:
    """What is wrong with a value that is not empty, the most telling first.

    Args:
        secret: Its declaration.
        value: As it was found.
        standard: What it is measured by.
        in_file: Whether it is the whole content of a file, which editors end with a line break.
    """
    is_url = secret.kind in ("url", "dsn")
    bare = value.strip()
    inner = bare[1:-1] if _is_quoted(bare) else bare
    if inner not in secret.one_of:
        # That a project's template has the very same URL is how a project is meant to be used.
        copied = not is_url and bare in standard.templates.get(secret.name, ())
        if is_placeholder(inner.strip(), url=is_url):
            return Fault("secret.placeholder", "is still a placeholder")
        if copied and secret.kind != "one-of":
            return Fault("secret.placeholder", "is the value of the project's example file")
    if _is_quoted(bare):
        return Fault(
            "secret.quoted",
            f"has {'double' if bare[0] == chr(34) else 'single'} quotes around it that are part of"
            " it",
            "take the quotes away",
            f'export {secret.name}="$(printf %s "${secret.name}" | sed "s/^.//;s/.$//")"',
        )
    pem = secret.kind == "pem" or (secret.kind == "jwt" and not secret.is_random_text)
    if value != bare and not pem:
        return _whitespace(secret.name, value, in_file=in_file)
    return _malformed(secret, bare, standard, pem=pem) or _weak(secret, bare)


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"


def _whitespace(name: str, value: str, *, in_file: bool) -> Fault:
    bare = value.strip()
    line_break = value.rstrip("\r\n") == bare
    if line_break:
        what = "ends with a line break"
    else:
        sides = [
            word
            for word, there in (
                ("before", value != value.lstrip()),
                ("after", value != value.rstrip()),
            )
            if there
        ]
        what = f"has blanks {' and '.join(sides)} it"
    return Fault(
        "secret.whitespace",
        what,
        "write it without them",
        _WITHOUT_LINE_BREAK.format(name=name) if line_break and "\n" not in bare else "",
        # Most programs that read such files expect one line break, for editors add it.
        "warning" if in_file and value in (f"{bare}\n", f"{bare}\r\n") else "error",
    )


def _malformed(secret: Secret, value: str, standard: Standard, *, pem: bool) -> Fault | None:
    if secret.one_of and value not in secret.one_of:
        what = f"is none of {', '.join(secret.one_of)}"
        return Fault("secret.malformed", what, "write one of these")
    if secret.kind in ("url", "dsn"):
        dsn = secret.kind == "dsn"
        if what := urls.wrong(value, dsn=dsn):
            like = "postgresql://user:password@localhost:5432/app_test" if dsn else _LIKE
            return Fault(
                "secret.malformed", f"is no URL that works: {what}", f"write it like {like}"
            )
        if words := urls.production(value, dsn=dsn, allow=standard.allow):
            return Fault(
                "secret.production",
                f"leads to production: its host or database says {' and '.join(words)}",
                "name one for tests, or allow it: [tool.envkit.attach] allow = [...]",
            )
    if pem and (found := _wrong_key(secret, value)):
        return found
    if secret.pattern and not re.fullmatch(secret.pattern, value):
        return Fault("secret.malformed", f"does not match its pattern {secret.pattern}")
    return None


def _wrong_key(secret: Secret, value: str) -> Fault | None:
    needs = f", which {secret.algorithm} needs" if secret.algorithm else ""
    try:
        key = read_pem(value)
    except NotPem as error:
        return Fault("secret.malformed", f"is no key in PEM form{needs}: {error}")
    family = _FAMILIES.get(secret.algorithm[:2], "")
    if key.family and family and key.family != family:
        return Fault("secret.malformed", f"is a key for {key.family}, not for {secret.algorithm}")
    if key.family == "RSA" and family == "RSA" and 0 < key.bits < _RSA_BITS:
        return Fault(
            "secret.short",
            f"is an RSA key of less than {_RSA_BITS} bits{needs}",
            "make a larger one",
        )
    return None


def _weak(secret: Secret, value: str) -> Fault | None:
    by_algorithm = KEY_BYTES.get(secret.algorithm, 0)
    least = max(secret.min_length, by_algorithm)
    if len(value.encode(errors="surrogateescape")) < least:
        whose = f"that {secret.algorithm} needs" if least == by_algorithm else "of its min_length"
        return Fault("secret.short", f"has fewer than the {least} bytes {whose}")
    declared = secret.min_entropy
    bits = declared or (_LEAST_BITS.get(secret.kind, 0.0) if secret.is_random_text else 0.0)
    if estimated_bits(value) < bits * _TOLERANCE:
        return Fault(
            "secret.low-entropy",
            f"is easy to guess: it has less than {bits:.0f} bits of entropy",
            severity="error" if declared else "warning",
        )
    return None

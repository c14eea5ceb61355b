"""What ``ENVKIT_*`` says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from envkit.config.values import (
    KEYS,
    Key,
    Reader,
    Values,
    Wrong,
    backends,
    boolean,
    services,
    split,
    version,
)
from envkit.config.wording import nearest, quoted, show
from envkit.errors import ConfigUnknownKey
from envkit.model import SERVICES

__all__ = ["ENVIRONMENT", "read_environment"]

#: Every name envkit reads its settings from, with the key it stands for.
ENVIRONMENT: Final[dict[str, Key]] = {
    "ENVKIT_SERVICES": ("services",),
    "ENVKIT_BACKEND": ("backend",),
    "ENVKIT_LINGER": ("linger",),
    "ENVKIT_START_TIMEOUT": ("start_timeout",),
    "ENVKIT_DATA_DIR": ("data_dir",),
    "ENVKIT_EXPORT_ENV": ("export_env",),
    **{f"ENVKIT_{service.upper()}_VERSION": (service, "version") for service in SERVICES},
    "ENVKIT_POSTGRES_SUPERUSER": ("postgres", "superuser"),
}
_TRUTH: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
# What a reader takes, from text; the others take the text itself.
_FROM_TEXT: Final[dict[Reader, Callable[[str], object]]] = {
    services: split,
    boolean: lambda text: _TRUTH.get(text.strip().lower(), text),
    version: str.strip,
}


def read_environment(environ: Mapping[str, str]) -> Values:
    """What the environment says, checked; an empty value counts as unset.

    Raises:
        ConfigInvalid: A value has the wrong type or range.
        ConfigUnknownKey: A name that envkit does not know.
    """
    # Unknown names first: a typo beside a wrong value is the likelier cause of surprise.
    for name in sorted(environ):
        if name.startswith("ENVKIT_") and name not in ENVIRONMENT and environ[name]:
            guess = nearest(name, ENVIRONMENT)
            advice = f"did you mean {guess}? " if guess else ""
            raise ConfigUnknownKey(
                f"the environment sets {quoted(name)}, which envkit does not know",
                hint=f"{advice}Otherwise: unset {name}. Known names: {', '.join(ENVIRONMENT)}",
            )
    values: Values = {}
    for name, key in ENVIRONMENT.items():
        if text := environ.get(name):
            try:
                read = _read(key, text)
            except Wrong as wrong:
                if wrong.at:
                    wrong.expected += f" (in {show(text)})"
                else:
                    wrong.value = text
                example = re.sub(r'[\[\]" ]', "", wrong.example)
                raise wrong.error(name, f"export {name}={example}", typed=False) from None
            values |= {key: (value, name) for key, value in read.items()}
    return values


def _read(key: Key, text: str) -> dict[Key, object]:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Wrong(text, "text in UTF-8", "…") from None
    if key == ("backend",):
        return backends(text)
    reader = KEYS[key]
    assert reader is not None
    return {key: reader(_FROM_TEXT.get(reader, str)(text))}

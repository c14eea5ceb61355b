"""What ``ENVKIT_*`` says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from envkit.config.values import KEYS, Key, Values, Wrong, backends, split
from envkit.config.wording import nearest, quoted, show
from envkit.errors import ConfigUnknownKey
from envkit.model import SERVICES

__all__ = ["ENVIRONMENT", "read_environment"]

_TRUTH: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def _boolean(text: str) -> object:
    return _TRUTH.get(text.strip().lower(), text)


#: Every name envkit reads its settings from: the key it stands for, and how a file would have it.
ENVIRONMENT: Final[dict[str, tuple[Key, Callable[[str], object]]]] = {
    "ENVKIT_SERVICES": (("services",), split),
    "ENVKIT_BACKEND": (("backend",), str),
    "ENVKIT_LINGER": (("linger",), str),
    "ENVKIT_START_TIMEOUT": (("start_timeout",), str),
    "ENVKIT_DATA_DIR": (("data_dir",), str),
    "ENVKIT_EXPORT_ENV": (("export_env",), _boolean),
    "ENVKIT_DOCKER_PULL": (("docker", "pull"), str.strip),
    "ENVKIT_DOCKER_REGISTRY": (("docker", "registry"), str.strip),
    "ENVKIT_DOCKER_REAPER": (("docker", "reaper"), str.strip),
    "ENVKIT_ATTACH_ALLOW": (("attach", "allow"), split),
    **{
        f"ENVKIT_{name.upper()}_{key.upper()}": ((name, key), str.strip)
        for name in SERVICES
        for key in ("version", "image", "memory", "shm_size", "url")
    },
    "ENVKIT_POSTGRES_SUPERUSER": (("postgres", "superuser"), _boolean),
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
            raise ConfigUnknownKey(
                f"the environment sets {quoted(name)}, which envkit does not know",
                hint=f"did you mean {guess}? If not: unset {name}"
                if guess
                else f"unset {name}. Known names: {', '.join(ENVIRONMENT)}",
            )
    values: Values = {}
    for name in ENVIRONMENT:
        if text := environ.get(name):
            try:
                values |= {key: (value, name) for key, value in _read(name, text).items()}
            except Wrong as wrong:
                if wrong.at:
                    wrong.expected += f" (in {show(text)})"
                else:
                    wrong.value = _shown(name, text)
                example = re.sub(r'[\[\]" ]', "", wrong.example)
                if name == "ENVKIT_SERVICES" and set(text.split()) <= set(SERVICES):
                    example = ",".join(text.split())
                raise wrong.error(name, f"export {name}={example}", typed=False) from None
    return values


def _shown(name: str, text: str) -> str:
    if not name.endswith("_URL"):
        return text
    from envkit.dsn import seen  # urllib.parse takes a few milliseconds

    return seen(text)


def _read(name: str, text: str) -> dict[Key, object]:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Wrong(text, "text in UTF-8", "…") from None
    key, as_in_file = ENVIRONMENT[name]
    reader = KEYS.get(key)
    return {key: reader(as_in_file(text))} if reader else backends(text)

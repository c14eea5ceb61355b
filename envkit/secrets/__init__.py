"""The secrets that a project declares: where they come from, and what is wrong with them.

`examine` looks and says; `generate` makes what may be made. Neither shows a value to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from msgspec import structs

from envkit.secrets.sources import Concealed, Found, Sources, read
from envkit.secrets.verdict import Severity, Verdict

if TYPE_CHECKING:
    from envkit.config import Config
    from envkit.declared import Place, Secret
    from envkit.secrets.faults import Standard
    from envkit.secrets.making import Generated

__all__ = [
    "Concealed",
    "Found",
    "Generated",
    "Severity",
    "Sources",
    "Verdict",
    "examine",
    "for_one_test",
    "generate",
    "place_of",
    "read",
    "values_to_conceal",
]

# Of the field's programs, beside those that end in _URL: they hold nothing but a password.
_PASSWORDS: Final = ("PGPASSWORD", "CLICKHOUSE_PASSWORD", "REDIS_PASSWORD", "REDISCLI_AUTH")
_URLS: Final = ("DATABASE_URL", "REDIS_URL", "CLICKHOUSE_URL")


def place_of(environ: Mapping[str, str]) -> Place:
    """``ci`` where the environment says so, else ``local``."""
    return "ci" if environ.get("CI", "").strip().lower() in ("1", "true") else "local"


def examine(config: Config, environ: Mapping[str, str]) -> tuple[Verdict, ...]:
    """What is wrong with a project's declared secrets: at most one verdict a name, then the files.

    Files are read, git is asked (for at most 0.5 s a file), and nothing is changed.

    Args:
        config: The project's.
        environ: The environment that its programs will have.
    """
    if not config.secrets:
        return ()
    from envkit.secrets.files import judge_files
    from envkit.secrets.judge import judge

    sources = read(config, environ)
    secrets = _makeable(config)
    return (
        *judge(secrets, sources, _standard(config, environ)),
        *judge_files(config.secrets, sources),
    )


def generate(config: Config, environ: Mapping[str, str]) -> Generated:
    """Make values for what is missing here and may be made.

    See `envkit.secrets.making.generate`, which writes them.

    Raises:
        SecretsUnwritable: The file cannot be written, or would not be read as it is meant.
    """
    from envkit.secrets.making import generate as write

    missing = ("secret.missing", "secret.empty")
    makeable = _makeable(config)
    verdicts = [one for one in examine(config, environ) if one.slug in missing]
    return write(config, environ, [one.name for one in verdicts if makeable[one.name].generate])


def for_one_test(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """Declared secrets that the environment has not: as files have them, else newly made.

    Args:
        config: The project's.
        environ: The environment of the test; what is set there stays as it is.
    """
    if not config.secrets:
        return {}
    from envkit.secrets.making import new_value

    found = read(config, environ).found
    values = {}
    for name, secret in config.secrets.items():
        value = found[name].value.reveal() if name in found else ""
        if not value.strip():
            value = new_value(secret) or ""
        if value and not environ.get(name, "").strip():
            values[name] = value
    return values


def values_to_conceal(config: Config | None, environ: Mapping[str, str]) -> set[str]:
    """What no output may show: declared secrets, and the passwords of services.

    Args:
        config: None if there is none that can be read.
        environ: Of this process.
    """
    values = {environ.get(name, "") for name in _PASSWORDS}
    texts = [environ.get(name, "") for name in (*_URLS, *(n for n in environ if _is_ours(n)))]
    if config is not None:
        settings = config.settings
        texts += [settings.postgres.url, settings.redis.url, settings.clickhouse.url]
        found = read(config, environ).found
        for name, secret in config.secrets.items():
            if name in found and secret.kind != "one-of":  # these stand in the configuration
                values.add(value := found[name].value.reveal())
                texts += [value] if secret.kind in ("url", "dsn") else []
    if any(texts):
        from envkit.secrets.urls import passwords  # what takes URLs apart takes milliseconds

        values |= {one for text in texts for one in passwords(text)}
    return values - {""}


def _is_ours(name: str) -> bool:
    return name.startswith("ENVKIT_") and name.endswith("_URL")


def _makeable(config: Config) -> dict[str, Secret]:
    """The declared secrets; what no random text can be is not said to be made by a command."""
    from envkit.secrets.making import new_value

    return {
        name: structs.replace(
            secret, generate=secret.generate and (not secret.pattern or bool(new_value(secret)))
        )
        for name, secret in config.secrets.items()
    }


def _standard(config: Config, environ: Mapping[str, str]) -> Standard:
    from envkit.secrets.faults import Standard
    from envkit.secrets.placeholders import template_values

    looked = ["the environment", *config.env_files, *config.secret_dirs]
    return Standard(
        place=place_of(environ),
        templates=template_values(config.root),
        allow=config.settings.attach.allow,
        env_file=config.env_files[0] if config.env_files else "",
        looked=", ".join(looked),
        given=config.settings.export_env,
    )

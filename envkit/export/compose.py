"""A file for Docker Compose with the configured services.

Format: https://docs.docker.com/reference/compose-file/; inline configs need Compose 2.23.1.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from envkit import services
from envkit.host import image_name
from envkit.model import ServiceName, Settings
from envkit.recipes import ComposeRecipe, FoundImage
from envkit.services.spec import Service

__all__ = ["FIRST_LINE", "render"]

#: By which a file is known to be of our making.
FIRST_LINE: Final = "# Made by `envkit compose render` from this project's configuration."

_HEADER: Final = """\
# To change it, edit [tool.envkit] in pyproject.toml (or envkit.toml) and run that command again;
# `envkit compose check` tells when that was forgotten. For what envkit does not configure, give
# Compose a second file: docker compose -f THIS -f YOURS up --wait
#
# From the environment, or from a file .env beside this one:
"""
# What Compose means when no profile is chosen. Undocumented, but so since its version 2.0:
# https://github.com/docker/compose/issues/12661
_NO_PROFILE: Final = ""
# No start_period: with one, engines from 25 on ask only every 5 s until the first success, unless
# there is a start_interval, which Compose before 5 refuses to pass to older engines.
_INTERVAL: Final = "1s"
_TIMEOUT: Final = "5s"
_RETRIES: Final = 60
# Throw-away data: whatever a server would still write can be lost.
_GRACE: Final = "2s"


def render(settings: Settings, *, name: str = "") -> str:
    """The text of a compose file; the same settings always give the same text.

    Args:
        settings: Of the project.
        name: Of the Compose project; without one Compose takes the name of the file's directory.
    """
    tree: dict[str, Any] = {"name": _project_name(name)} if name else {}
    tree |= {"services": {}, "configs": {}}
    variables: list[str] = []
    for service in settings.services:
        spec = services.load(service)
        reference = image_name(spec.image, settings.of(service), settings.docker, environ={})
        recipe = spec.compose(settings.of(service), _assumed(spec, settings, reference))
        files = {_config_name(service, path): path for path in recipe.container.files}
        tree["services"][service] = _service(service, settings, reference, recipe, files)
        for config, path in files.items():
            content = _filled(recipe.container.files[path], recipe)
            tree["configs"][config] = {"content": content}
        variables += [f"#   {' '.join(_variables(service, recipe))}\n"]
    text = yaml.dump(
        tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**9, line_break="\n"
    )
    return f"{FIRST_LINE}\n{_HEADER}{''.join(variables)}\n{text}"


def _service(
    service: ServiceName,
    settings: Settings,
    reference: str,
    recipe: ComposeRecipe,
    files: dict[str, str],
) -> dict[str, Any]:
    own, container = settings.of(service), recipe.container
    shm_size = own.shm_size or container.shm_size
    image, port = _image_variable(service), _port_variable(service)
    described: dict[str, Any] = {
        "image": f"${{{image}:-{reference}}}",
        "pull_policy": settings.docker.pull if settings.docker.pull != "missing" else None,
        "profiles": [_NO_PROFILE, service, "all"],
        "command": [_literal(word) for word in container.command],
        "environment": {key: _filled(text, recipe) for key, text in container.environment.items()},
        "configs": [{"source": config, "target": path} for config, path in files.items()],
        "ports": [f"127.0.0.1:${{{port}:-{container.port}}}:{container.port}"],
        "tmpfs": list(container.data),
        "shm_size": shm_size,
        "mem_limit": own.memory,
        # As much again of swap would be the default.
        "memswap_limit": own.memory,
        "healthcheck": {
            "test": ["CMD-SHELL", _literal(recipe.ready)],
            "interval": _INTERVAL,
            "timeout": _TIMEOUT,
            "retries": _RETRIES,
        },
        "labels": {"envkit.compose": service},
        "restart": "no",
        "stop_grace_period": _GRACE,
    }
    return {key: value for key, value in described.items() if value}


def _assumed(spec: Service, settings: Settings, reference: str) -> FoundImage:
    """The image as far as its name tells; whether the engine has it does not matter here."""
    name = reference.partition("@")[0]
    tag = re.search(r":([0-9]+(?:\.[0-9]+)*)[^/]*$", name)
    return FoundImage(
        reference=reference,
        version=settings.of(spec.name).version or (tag[1] if tag else ""),
        built=f"/{name}".rpartition(":")[0].endswith(f"/{spec.image.built}"),
    )


def _image_variable(service: ServiceName) -> str:
    # The same name and meaning as in envkit's own configuration.
    return f"ENVKIT_{service.upper()}_IMAGE"


def _port_variable(service: ServiceName) -> str:
    return f"{service.upper()}_PORT"


def _variables(service: ServiceName, recipe: ComposeRecipe) -> list[str]:
    credentials = [variable for variable, _ in recipe.credentials.values()]
    return [_image_variable(service), _port_variable(service), *credentials]


def _config_name(service: ServiceName, path: str) -> str:
    return f"{service}-{path.rpartition('/')[2]}"


def _project_name(name: str) -> str:
    """As https://docs.docker.com/reference/compose-file/version-and-name/ wants it."""
    return re.sub(r"[^a-z0-9_-]", "-", name.lower()).lstrip("_-")


def _filled(text: str, recipe: ComposeRecipe) -> str:
    if text[:1] + text[-1:] == "{}" and text[1:-1] in recipe.credentials:
        variable, default = recipe.credentials[text[1:-1]]
        return f"${{{variable}:-{default}}}"
    return _literal(text)


def _literal(text: str) -> str:
    """What Compose makes this very text of."""
    return text.replace("$", "$$")


class _Dumper(yaml.SafeDumper):
    """Block style with indented lists."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - as PyYAML calls it
        super().increase_indent(flow, False)


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Quoted unless it is beyond doubt a string: Compose's YAML has other numbers than PyYAML's
    # (1e3, 0o17).
    plain = re.fullmatch(r"[A-Za-z/][A-Za-z0-9_./-]*", text) and yaml.safe_load(text) == text
    style = "|" if "\n" in text else None if plain else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _string)

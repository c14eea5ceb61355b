"""The published schemas of files that CIs read, as the package check-jsonschema carries them.

Those of GitHub's files are SchemaStore's (Apache-2.0), that of GitLab's is GitLab's own (MIT);
their licences and checksums lie beside them in that package.
"""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import yaml

__all__ = ["faults", "parsed"]


class _Loader(yaml.SafeLoader):
    """YAML 1.2, as CIs read it: ``on`` is a word and no boolean."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if not tag.endswith(":bool")]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))


def parsed(text: str) -> Any:
    """What a CI reads from a file."""
    return yaml.load(text, _Loader)


def faults(document: Any, schema: str) -> list[str]:
    """What does not fit: ``github-workflows``, ``github-actions`` or ``gitlab-ci``."""
    # Found and not imported: the schemas are all that is wanted of it.
    package = find_spec("check_jsonschema")
    assert package is not None, "pip install check-jsonschema"
    assert package.origin is not None
    place = Path(package.origin).parent / "builtin_schemas" / "vendor" / f"{schema}.json"
    validator = jsonschema.Draft7Validator(json.loads(place.read_text("utf-8")))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]

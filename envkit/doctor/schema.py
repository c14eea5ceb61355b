"""The JSON Schema of the report, made of the values themselves and their docstrings.

``python -m envkit.doctor.schema`` writes it to ``report.schema.json``, beside this module.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any, Final

import msgspec

from envkit.doctor.model import Check, Finding, Fix, Report

__all__ = ["FILE", "report_schema"]

FILE: Final = Path(__file__).with_name("report.schema.json")
_ATTRIBUTE: Final = re.compile(r"^    (\w+): (.+(?:\n        .+)*)", re.MULTILINE)


def report_schema() -> dict[str, Any]:
    """What ``envkit doctor --format json`` prints, as JSON Schema 2020-12."""
    found = msgspec.json.schema(Report)
    for kind in (Report, Check, Finding, Fix):
        _describe(found["$defs"][kind.__name__], kind)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Report of envkit doctor",
        **found,
    }


def _describe(schema: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    documentation = inspect.cleandoc(kind.__doc__ or "")
    schema["description"] = documentation.partition("\n")[0]
    for name, text in _ATTRIBUTE.findall(documentation):
        schema["properties"][name]["description"] = " ".join(text.split())
    # Readers get every key, whether the value is the default or not.
    schema["required"] = list(schema["properties"])
    for one in schema["properties"].values():
        one.pop("default", None)


if __name__ == "__main__":
    FILE.write_text(json.dumps(report_schema(), indent=2) + "\n", encoding="utf-8")

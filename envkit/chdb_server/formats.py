"""Output formats: their content types, and which of them may be sent block by block."""

from __future__ import annotations

_JSON = "application/json; charset=UTF-8"
_NDJSON = "application/x-ndjson; charset=UTF-8"
_TSV = "text/tab-separated-values; charset=UTF-8"
_CSV = "text/csv; charset=UTF-8; header=absent"
_CSV_NAMED = "text/csv; charset=UTF-8; header=present"
_BINARY = "application/octet-stream"
_TEXT = "text/plain; charset=UTF-8"

_EXACT = {
    "csv": _CSV,
    "csvwithnames": _CSV_NAMED,
    "csvwithnamesandtypes": _CSV_NAMED,
    "arrow": _BINARY,
    "arrowstream": _BINARY,
    "native": _BINARY,
    "parquet": _BINARY,
    "orc": _BINARY,
    "avro": _BINARY,
    "msgpack": "application/x-msgpack",
    "npy": _BINARY,
    "protobuf": _BINARY,
    "bsoneachrow": _BINARY,
    "rawblob": _BINARY,
    "buffers": _BINARY,
    "xml": "application/xml; charset=UTF-8",
    "markdown": "text/markdown; charset=UTF-8",
    "tskv": _TSV,
    "jsonlines": _NDJSON,
    "ndjson": _NDJSON,
    "jsonasstring": _JSON,
}
_PREFIXES = (
    ("tabseparated", _TSV),
    ("tsv", _TSV),
    ("raw", _TSV),
    ("rowbinary", _BINARY),
    ("json", _JSON),
)

# The engine hands out each block as a document of its own. Joined, those are one document only
# where a format has neither head nor foot nor row numbers; the others must be built whole.
_STREAMED = frozenset(
    (
        "native",
        "tabseparated",
        "tsv",
        "tabseparatedraw",
        "tsvraw",
        "raw",
        "csv",
        "tskv",
        "rowbinary",
        "jsoneachrow",
        "jsonlines",
        "ndjson",
        "jsoncompacteachrow",
        "jsonstringseachrow",
        "jsoncompactstringseachrow",
        "msgpack",
        "lineasstring",
        "rawblob",
        "protobuf",
        "bsoneachrow",
        "null",
    )
)


def content_type(name: str) -> str:
    """The Content-Type clickhouse-server gives a result in the format ``name``."""
    lower = name.lower()
    if lower in _EXACT:
        return _EXACT[lower]
    if lower.startswith("json") and "eachrow" in lower:
        return _NDJSON
    return next((kind for prefix, kind in _PREFIXES if lower.startswith(prefix)), _TEXT)


def streams(name: str) -> bool:
    """Whether blocks of this format can be joined end to end."""
    return name.lower() in _STREAMED

"""The version, in the one place that pyproject.toml, the package and the keeper's key agree on."""

__version__ = "0.1.0"

"""Settings from ClickHouse's own configuration files, as people mount them into its image.

https://clickhouse.com/docs/operations/configuration-files: XML files in a directory, in the order
of their names. Only the default profile is read: nobody else here could have one.
"""

from __future__ import annotations

import os

__all__ = ["default_profile"]


def default_profile(directory: str) -> dict[str, str]:
    """The settings of ``<profiles><default>`` in all files of a directory.

    Raises:
        ValueError: One is no XML; it names the file.
    """
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".xml"))
    except OSError:
        return {}
    if not names:
        return {}
    from xml.etree import ElementTree

    settings: dict[str, str] = {}
    for name in names:
        path = os.path.join(directory, name)
        try:
            root = ElementTree.parse(path).getroot()  # noqa: S314 - as above
        except (ElementTree.ParseError, OSError) as error:
            raise ValueError(f"{path}: {error}") from None
        for setting in root.findall("profiles/default/*"):
            settings[setting.tag] = (setting.text or "").strip()
    return settings

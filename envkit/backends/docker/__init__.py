"""Servers in containers, over testcontainers: interprets a `ContainerRecipe`."""

from __future__ import annotations

from envkit.backends.docker.server import ContainerServer, prepare

__all__ = ["ContainerServer", "prepare"]

"""Servers in containers, over testcontainers: interprets a `ContainerRecipe`."""

from __future__ import annotations

from envkit.backends.docker.server import ContainerServer, load, prepare

__all__ = ["ContainerServer", "load", "prepare"]

"""Images of the services, built from the embedded backend's wheels where no registry is reachable.

An image honours the interface of the official image of its name, so that what runs
``docker run postgres:18 …`` also runs ``docker run envkit/postgres:18 …``. Each comes in two
variants: plain, and ``-ready`` with as much of the first start done beforehand as can be.
"""

from __future__ import annotations

from envkit.backends.images.build import VARIANTS, Built, Variant, build, reference

__all__ = ["VARIANTS", "Built", "Variant", "build", "reference"]

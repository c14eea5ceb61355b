"""The keeper's program, started by a client by its path: ``python -P __main__.py KEY FD FD``."""

from __future__ import annotations

import os
import sys


def _detach() -> None:
    """Become nobody's child: a test that waits for its children must not wait for us."""
    if os.fork():
        os._exit(0)
    os.setsid()


def _import_own_package() -> None:
    """Import the envkit that this file belongs to, even if the path has another one."""
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.path.insert(0, home)
    import envkit

    assert envkit.__file__
    sys.path.remove(home)


if __name__ == "__main__":
    _detach()
    _import_own_package()
    from envkit.keeper.server import main

    main(sys.argv[1:])

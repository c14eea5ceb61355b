"""``python -m envkit``, the same as ``envkit``."""

from envkit.cli import main

if __name__ == "__main__":
    main()

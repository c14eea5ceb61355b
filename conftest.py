"""For the whole repository: pytester, and the README's examples as tests."""

pytest_plugins = ["pytester"]

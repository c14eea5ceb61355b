"""What ``envkit init`` proposes for a project, and how it gets into its file.

`propose` only reads: dependencies, compose files, example environments and the marks that Alembic
and Django leave. Every line of the proposal says what spoke for it, and how sure that is. `write`
appends the table and leaves every other byte of the file as it was.
"""

from envkit.init.proposal import Line, Proposal, propose
from envkit.init.writing import write

__all__ = ["Line", "Proposal", "propose", "write"]

"""What ``envkit init`` proposes for a project, and how it gets into its file.

`propose` only reads: dependencies, compose files, example environments, the files of Alembic and
Django, and Python files, which are parsed and never run. Every line of the proposal says what spoke
for it, and how sure that is. `write` appends the table and leaves every other byte of the file as
it was.
"""

from envkit.init.proposal import Line, Proposal, propose
from envkit.init.writing import write

__all__ = ["Line", "Proposal", "propose", "write"]

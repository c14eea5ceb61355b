"""CI jobs that bring a project's services and run its tests: what is in one, and how CIs write it.

`job_for` looks at the project and gives a `Job`, which knows no CI; `github` and `gitlab` make text
of it. The same configuration always gives the same text.
"""

from envkit.ci.job import PROVIDERS, Job, Kind, job_for, renderer

__all__ = ["PROVIDERS", "Job", "Kind", "job_for", "renderer"]

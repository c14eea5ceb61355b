"""Categories of tests, run in their order, each gated by the doctor.

Whether a category can run is asked of the doctor, and what came of it of pytest itself, as data: so
that "no test was selected" is never a failure, and "could not be checked" never a success.
"""

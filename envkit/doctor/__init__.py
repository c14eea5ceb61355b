"""What would make the tests fail, why, and what to type.

::

    probes | logs | exit codes ─> Symptoms ─ rules ─> Findings ─ triage ─> Report ─ render ─> text …

Probes and logs give symptoms, and no opinions; each rule makes at most one finding of a symptom;
triage puts causes before their consequences.
"""

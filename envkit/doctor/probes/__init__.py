"""What the doctor looks at: each module's ``PROBES``."""

"""The keeper: one process per project that owns the servers, and how to talk to it.

`server` is the process, `client` the other end, `protocol` what they say to each other, `record`
how they find each other, `watchdog` what cleans up when the keeper dies, `pool` what hands out
isolated namespaces.
"""

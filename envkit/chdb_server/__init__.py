"""ClickHouse's HTTP interface in front of the chdb engine.

A program of its own (``python -m envkit.chdb_server``), not a library: the embedded backend runs
it where neither Docker nor a ``clickhouse`` binary is at hand. Nothing here imports the rest of
envkit.
"""

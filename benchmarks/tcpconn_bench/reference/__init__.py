"""The reference figures that `tcpconn compare` does not show, each beside its peer: `python -m tcpconn_bench.reference`.

`actors` are the processes that are measured, `figures` what a row of the table is, and every other module a group of rows.
"""

"""Facts about operators that their schemas do not state. A file has one subject: tables, and queries of them.

A schema states arguments, results, aliases and tags (`lowering.ir.aten`). Tests confirm with torch each fact
that torch knows.
"""

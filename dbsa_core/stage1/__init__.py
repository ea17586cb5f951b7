"""Stage 1: blocks of a pool to keys and values, once for all queries.

Knows nothing about queries.
"""

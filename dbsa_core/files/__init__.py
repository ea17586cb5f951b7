"""A user's file to a `Table`: what its content is, its formats, its cells, and which columns hold texts and labels.

Knows nothing about demonstrations, tokens or models. `tables.read_table` is the way in; `columns` guesses or checks the
columns of what it returns.
"""

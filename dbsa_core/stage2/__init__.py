"""Stage 2, per query: chosen blocks become a prefix, and the labels are scored behind it.

Knows nothing about how blocks were chosen. `prefix` says where cached blocks stand, `rotation` turns queries and keys
for them, `dense_prefill` encodes long prompts behind them; `scoring` walks the labels of a `trie` through a `tail`, or
hands the query to a `step` that `steps` has captured; `label_scores` says what was found.
"""

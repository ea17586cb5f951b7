"""Stage 2, per query: chosen blocks become a prefix, and the labels are scored behind it.

Knows nothing about how blocks were chosen. `prefix` says where cached blocks stand, `rotation` turns queries and keys
for them, `dense_prefill` encodes long prompts behind them; `scoring` looks for labels in a `trie` by one of the
`walks`: through a `tail`, or by a `step` that `steps` has captured; `label_scores` says what was found.
"""

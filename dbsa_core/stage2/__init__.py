"""Stage 2, per query: chosen blocks become a context, and the labels are scored behind it.

Knows nothing about how blocks were chosen. `context` puts cached blocks at fresh positions, `dense_prefill` encodes
long prompts behind them, `scoring` walks the labels, `label_scores` says what was found.
"""

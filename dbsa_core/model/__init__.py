"""A causal language model of transformers: found, loaded, checked, and made to hand out keys before RoPE.

Knows nothing about pools, blocks or labels. `language_model.LanguageModel` is the way in.
"""

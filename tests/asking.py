"""Which methods ask the language model, and which rows those read that read some beside the query."""

from dbsa_core.methods import METHODS

ALONE = ("tfidf", "sentence_vectors")
ASKING = tuple(name for name in METHODS if name not in ALONE)
"""The classifier of words does not."""
DENSE = ("retrieval_icl", "retrieval_icl_file", "nearest", "zero_shot")
"""Nothing but the BOS has to stand before their query."""
WHOLE_POOL = ("fixed_icl", "fixed_icl_fresh")
MATCHED = ("retrieval_icl", "retrieval_icl_file")
"""Their budget is DBSA's."""
SIMILAR = ("dbsa_fresh", "retrieval_icl", "retrieval_icl_file", "nearest", "fixed_icl_fresh")
"""They read rows that are similar to the query in its own forward; the last one where some are not encoded."""

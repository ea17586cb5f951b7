"""Where encoded blocks are kept.

Knows nothing about models or prompts: block ids and tensors only.
"""

from __future__ import annotations

from dbsa_core.store.arena import SPARE, Arena, BlockKV, KeyForm, with_spare

__all__ = ["SPARE", "Arena", "BlockKV", "KeyForm", "with_spare"]

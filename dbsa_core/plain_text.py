"""A tokenizer that reads a user's text as text: what looks like a control token in it becomes ordinary tokens.

Knows nothing about demonstrations or templates: words before, a user's text, words behind.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Ids = tuple[int, ...]


@dataclass
class PlainText:
    """`tokenizer` is a Hugging Face tokenizer, or anything callable on a list of strings that returns `input_ids`.

    Control tokens are its special tokens and all others that were added to it, such as `<think>`, but for white space,
    which some tokenizers add for runs of it. A tokenizer that tells of none (`added_tokens_decoder`) has none.
    """

    tokenizer: Any
    prefix_ids: Ids = field(init=False)
    """What the tokenizer itself puts before a text: a BOS for Llama, two tokens for GLM, nothing for Qwen."""
    _control: dict[int, str] = field(init=False)

    def __post_init__(self) -> None:
        added = getattr(self.tokenizer, "added_tokens_decoder", None) or {}
        contents = {int(i): str(getattr(token, "content", token)) for i, token in added.items()}
        # One sign alone cannot be read in any other way.
        self._control = {i: content for i, content in contents.items() if len(content.strip()) > 1}
        self._unknown: int | None = getattr(self.tokenizer, "unk_token_id", None)
        self._starts = re.compile(f"(?={'|'.join(map(re.escape, self._control.values()))})")
        self.prefix_ids = self._prefix()

    def _prefix(self) -> Ids:
        (alone,) = self._encode(["a"])
        ids = list(self.tokenizer("a")["input_ids"])
        for start in range(len(ids) - len(alone) + 1):
            if ids[start : start + len(alone)] == alone:
                return tuple(ids[:start])
        # The first word is read otherwise behind special tokens: they are what stands before any other.
        special = set(getattr(self.tokenizer, "all_special_ids", ()))
        count = next((i for i, token in enumerate(ids) if token not in special), 0)
        return tuple(ids[:count])

    def continuations(self, before: str, lead: str, texts: Sequence[str], rest: str) -> list[Ids]:
        """Ids of `lead + text + rest` for each text, as they stand behind `before`.

        Only `lead` and `rest` may hold control tokens. Some tokenizers put a dummy space before the first word of all,
        which is why it matters what stands before.
        """
        found = self._behind(before, [lead + text + rest for text in texts])
        suspects = [i for i, ids in enumerate(found) if not self._control.keys().isdisjoint(ids)]
        if not suspects:
            return found
        expected = self._controls(self.words(before, lead + "a" + rest), "")
        for i in suspects:
            text = texts[i]
            if self._controls(found[i], text) != expected:
                found[i] = self._pieced(before, lead, self._pieces(text), rest)
                # Some tokenizers make control tokens of what only becomes like them, such as full-width signs.
                if self._controls(found[i], "") != expected:
                    found[i] = self._pieced(before, lead, list(text), rest)
        return found

    def words(self, before: str, words: str) -> Ids:
        """Ids of words that are not a user's, as they stand behind `before`; they may hold control tokens."""
        return self._behind(before, [words])[0]

    def _controls(self, ids: Ids, text: str) -> Counter[int]:
        """How often each control token stands among `ids`; the one for unknown signs counts where the text names it."""
        found = Counter(token for token in ids if token in self._control)
        if self._unknown is not None and self._unknown in found and self._control[self._unknown] not in text:
            del found[self._unknown]
        return found

    def _pieces(self, text: str) -> list[str]:
        """The text cut behind the first sign of everything that looks like a control token."""
        cuts = [0, *(match.start() + 1 for match in self._starts.finditer(text)), len(text)]
        return [text[start:end] for start, end in pairwise(cuts) if start < end]

    def _pieced(self, before: str, lead: str, pieces: Sequence[str], rest: str) -> Ids:
        first, *others = pieces
        ends = [*others[:-1], others[-1] + rest] if others else []
        (head,) = self._behind(before, [lead + first + ("" if others else rest)])
        return sum(self._behind("\n", ends), head)

    def _behind(self, before: str, texts: Sequence[str]) -> list[Ids]:
        if not texts:
            return []
        head, *joined = self._encode([before, *(before + text for text in texts)])
        ids = [full[len(head) :] if full[: len(head)] == head else None for full in joined]
        alone = self._encode(texts) if None in ids else []
        return [tuple(found if found is not None else alone[i]) for i, found in enumerate(ids)]

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        encoded: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return encoded

"""What each token of some ids says, as text.

Knows nothing about what the ids are for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

_UNREADABLE = "\N{REPLACEMENT CHARACTER}"
_LONGEST = 8
"""Tokens that are tried together: a sign has at most 4 bytes, and one token may end it and begin the next."""


@dataclass
class TokenTexts:
    """`tokenizer` is a Hugging Face tokenizer, or anything with `decode(ids, skip_special_tokens=...,
    clean_up_tokenization_spaces=...)`."""

    tokenizer: Any
    _alone: dict[int, str] = field(default_factory=dict, init=False, repr=False)

    def of(self, ids: Sequence[int]) -> tuple[str, ...]:
        """[len(ids)]: they follow one another as the text that the ids were made of. A sign of several tokens, such as
        an emoji, is the first one's, and the others say nothing. () where the tokenizer cannot say it."""
        return tuple(self._each(ids)) if hasattr(self.tokenizer, "decode") else ()

    def _each(self, ids: Sequence[int]) -> Iterator[str]:
        at = 0
        while at < len(ids):
            token = ids[at]
            if token not in self._alone:
                self._alone[token] = self._text([token])
            text, length = self._alone[token], 1
            if _UNREADABLE in text:
                text, length = self._joined(ids, at)
            yield text
            yield from [""] * (length - 1)
            at += length

    def _joined(self, ids: Sequence[int], at: int) -> tuple[str, int]:
        """The fewest tokens from there on that can be read together; one where there are none."""
        for length in range(2, min(_LONGEST, len(ids) - at) + 1):
            text = self._text(ids[at : at + length])
            if _UNREADABLE not in text:
                return text, length
        return self._alone[ids[at]], 1

    def _text(self, ids: Sequence[int]) -> str:
        """As it stands behind others: a decoder may drop the space at the beginning of all."""
        return self._decoded([*ids, *ids])[len(self._decoded(ids)) :]

    def _decoded(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text

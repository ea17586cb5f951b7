"""Demonstrations, queries and labels as token ids.

Knows nothing about blocks, models or attention: a tokenizer and a few words of template go in, ids come out.

Ids are concatenated, never text: a demonstration has the same ids wherever it stands (in a block, among the fresh
demonstrations), and a label has the same ids in a demonstration and in the label trie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from dbsa_core.errors import DataError, SettingsError

Ids = tuple[int, ...]


@dataclass(frozen=True)
class PromptTemplate:
    """The words around a demonstration: `{text_prefix} {text}` newline `{label_prefix} {label}{separator}`.

    The form is the reference code's of arXiv 2503.08640: no instruction, demonstrations parted by a line of `==`.
    """

    text_prefix: str = "Text:"
    """Stands before the text; may be empty."""
    label_prefix: str = "Label:"
    """Stands before the label, without a trailing space: the label's own tokens begin with it."""
    separator: str = "\n==\n"
    """Ends every demonstration; its first token ends a label."""

    def __post_init__(self) -> None:
        if not self.label_prefix.strip():
            raise SettingsError("The label prefix is empty; give a word such as 'Label:' that asks for the label.")
        if not self.separator.strip(" "):
            raise SettingsError("The separator is empty; give one such as a line of '==' that ends a demonstration.")
        if self.separator[0] == " ":
            raise SettingsError("The separator begins with a space; begin it with a new line or a sign.")
        if self.label_prefix != self.label_prefix.rstrip():
            raise SettingsError(
                f"The label prefix {self.label_prefix!r} ends with white space; leave it out, labels "
                "bring their own space."
            )

    def text_part(self, text: str) -> str:
        """What stands before the label, for demonstrations and queries alike."""
        start = f"{self.text_prefix} {text}" if self.text_prefix else text
        return f"{start}\n{self.label_prefix}"

    @staticmethod
    def shown(label: str) -> str:
        """The label as the model reads it: underscores become spaces."""
        return " ".join(label.replace("_", " ").split())


PRESETS: Mapping[str, PromptTemplate] = MappingProxyType(
    {
        "default": PromptTemplate(),
        "trec": PromptTemplate("Question:", "Type:"),
        "banking77": PromptTemplate("query:", "intent:"),
        "clinc150": PromptTemplate("utterance:", "intent:"),
        "nlu": PromptTemplate("utterance:", "intent:"),
    }
)
"""The paper's words for its data sets, and ours for any other."""


def template(name: str) -> PromptTemplate:
    """The preset of that name (`trec_fine` shares TREC's)."""
    key = "trec" if name == "trec_fine" else name
    if key not in PRESETS:
        raise SettingsError(f"There is no prompt preset {name!r}; the presets are {', '.join(PRESETS)}.")
    return PRESETS[key]


@dataclass
class Prompter:
    """A template bound to a tokenizer; turns text into ids, the same ids everywhere.

    `tokenizer` is a Hugging Face tokenizer (anything callable on a list of strings that returns `input_ids`).
    """

    tokenizer: Any
    template: PromptTemplate = field(default_factory=PromptTemplate)
    bos_ids: Ids = field(init=False)
    """The beginning-of-sequence id where the tokenizer adds one by itself, else nothing."""
    separator_ids: Ids = field(init=False)
    _labels: dict[str, Ids] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        bos = getattr(self.tokenizer, "bos_token_id", None)
        first = self.tokenizer("a")["input_ids"][:1]
        self.bos_ids = (bos,) if bos is not None and first == [bos] else ()
        self.separator_ids = self._continuations("a", [self.template.separator])[0]

    @property
    def terminator_id(self) -> int:
        """The separator's first token, which ends a label."""
        return self.separator_ids[0]

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        encoded: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return encoded

    def _continuations(self, before: str, texts: Sequence[str]) -> list[Ids]:
        """Ids of each text as it stands after `before`: some tokenizers put a dummy space before the first word."""
        if not texts:
            return []
        head, *joined = self._encode([before, *(before + text for text in texts)])
        ids = [full[len(head) :] if full[: len(head)] == head else None for full in joined]
        alone = self._encode(texts) if None in ids else []
        return [tuple(found if found is not None else alone[i]) for i, found in enumerate(ids)]

    @property
    def label_cue(self) -> Ids:
        """Ids of the new line and the label prefix, for texts that are cut."""
        return self._continuations("a", ["\n" + self.template.label_prefix])[0]

    def texts(self, texts: Sequence[str]) -> list[Ids]:
        """Ids of the part before the label, for each text."""
        return self._continuations("\n", [self.template.text_part(text) for text in texts])

    def label(self, label: str) -> Ids:
        """Ids of a label with its leading space, without the terminator."""
        if label not in self._labels:
            anchor = "\n" + self.template.label_prefix
            self._labels[label] = self._continuations(anchor, [" " + self.template.shown(label)])[0]
            if not self._labels[label]:
                raise DataError(f"The label {label!r} has no tokens; give it a name of letters or digits.")
        return self._labels[label]

    def demonstrations(self, texts: Sequence[str], labels: Sequence[str]) -> list[Ids]:
        """Ids of whole demonstrations, separator included."""
        parts = self.texts(texts)
        return [part + self.label(label) + self.separator_ids for part, label in zip(parts, labels, strict=True)]

    def query(self, text: str) -> Ids:
        """Ids of a query up to the label prefix."""
        return self.texts([text])[0]

    def check_labels(self, labels: Sequence[str]) -> None:
        """Refuse labels that the model could not tell apart."""
        seen: dict[Ids, str] = {}
        for label in labels:
            ids = self.label(label)
            if self.terminator_id in ids:
                raise DataError(
                    f"The label {label!r} holds the token that ends labels ({self.template.separator!r}); "
                    "rename it or choose another separator."
                )
            if ids in seen:
                raise DataError(
                    f"The labels {seen[ids]!r} and {label!r} are the same to the model, which reads underscores as "
                    "spaces; rename one of them."
                )
            seen[ids] = label

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
from dbsa_core.plain_text import Ids as Ids
from dbsa_core.plain_text import PlainText


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
                f"The label prefix {self.label_prefix!r} ends with white space; leave it out, labels bring their own "
                "space."
            )

    @property
    def around_text(self) -> tuple[str, str]:
        """What stands before a text and what stands between it and its label."""
        return f"{self.text_prefix} " if self.text_prefix else "", f"\n{self.label_prefix}"

    def text_part(self, text: str) -> str:
        """What stands before the label, for demonstrations and queries alike."""
        lead, rest = self.around_text
        return f"{lead}{text}{rest}"

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

    `tokenizer` is a Hugging Face tokenizer (anything callable on a list of strings that returns `input_ids`). Texts and
    labels are plain text, whatever they look like; the template's own words may hold control tokens.
    """

    tokenizer: Any
    template: PromptTemplate = field(default_factory=PromptTemplate)
    separator_ids: Ids = field(init=False)
    _plain: PlainText = field(init=False)
    _labels: dict[str, Ids] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._plain = PlainText(self.tokenizer)
        self.separator_ids = self._words(self.template.separator)

    @property
    def prefix_ids(self) -> Ids:
        """What the tokenizer puts before any text by itself, such as a BOS; it stands once, before everything."""
        return self._plain.prefix_ids

    @property
    def terminator_id(self) -> int:
        """The separator's first token, which ends a label."""
        return self.separator_ids[0]

    def _words(self, words: str) -> Ids:
        """Ids of the template's own words, behind a text."""
        return self._plain.words("a", words)

    @property
    def label_cue(self) -> Ids:
        """Ids of the new line and the label prefix, for texts that are cut."""
        return self._words("\n" + self.template.label_prefix)

    def texts(self, texts: Sequence[str]) -> list[Ids]:
        """Ids of the part before the label, for each text."""
        lead, rest = self.template.around_text
        return self._plain.continuations("\n", lead, texts, rest)

    def label(self, label: str) -> Ids:
        """Ids of a label with its leading space, without the terminator."""
        if label not in self._labels:
            anchor = "\n" + self.template.label_prefix
            (self._labels[label],) = self._plain.continuations(anchor, " ", [self.template.shown(label)], "")
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
                    f"The label {label!r} holds the token that ends labels ({self.template.separator!r}); rename it or "
                    "choose another separator."
                )
            if ids in seen:
                raise DataError(
                    f"The labels {seen[ids]!r} and {label!r} are the same to the model, which reads underscores as "
                    "spaces; rename one of them."
                )
            seen[ids] = label

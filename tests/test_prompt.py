"""What holds for prompts: ids are concatenated, never text, and a label's ids are the same wherever it stands."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dbsa_core.blocks import BlockPattern, group, with_prefix
from dbsa_core.data import Pool
from dbsa_core.errors import DataError, SettingsError
from dbsa_core.methods import Setup, make_method
from dbsa_core.prompt import PRESETS, Prompter, PromptTemplate, template
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.stage2.trie import LabelTrie
from dbsa_core.task import Task
from tests.tiny import ByteTokenizer, tiny_model


class Words:
    """A tokenizer of words and signs, each with the space before it. Signs in a row are one token, so joining texts
    moves boundaries. As SentencePiece does, `dummy` puts a space before the first word of every text."""

    bos_token_id: int | None

    def __init__(self, *, bos: bool = False, dummy: bool = False):
        self.words: dict[str, int] = {"<s>": 0}
        self.bos_token_id = 0 if bos else None
        self.dummy = dummy

    def __call__(self, texts: str | list[str], add_special_tokens: bool = True) -> dict[str, Any]:
        if isinstance(texts, str):
            return {"input_ids": self._encode(texts, add_special_tokens)}
        return {"input_ids": [self._encode(text, add_special_tokens) for text in texts]}

    def _encode(self, text: str, special: bool) -> list[int]:
        shown = " " + text if self.dummy and text else text
        ids = [self.words.setdefault(word, len(self.words)) for word in re.findall(r" ?\w+| ?[^\w\s]+|\s", shown)]
        return [0, *ids] if special and self.bos_token_id == 0 else ids

    def decode(self, ids: tuple[int, ...]) -> str:
        names = {index: word for word, index in self.words.items()}
        return "".join(names[index] for index in ids)


def contains(ids: tuple[int, ...], part: tuple[int, ...]) -> bool:
    return any(ids[i : i + len(part)] == part for i in range(len(ids) - len(part) + 1))


@pytest.mark.parametrize("tokenizer", [Words(), Words(dummy=True)], ids=["plain", "dummy space"])
def test_ids_are_concatenated_and_not_text(tokenizer: Words) -> None:
    """One token of the joint text, "?!==" stays two: the boundary between label and separator is kept."""
    prompter = Prompter(tokenizer, PromptTemplate(separator="==\n"))
    plain, punctuated = prompter.demonstrations(["hi", "hi"], ["what", "what?!"])
    assert punctuated == prompter.texts(["hi"])[0] + prompter.label("what?!") + prompter.separator_ids
    assert contains(punctuated, prompter.separator_ids)
    assert punctuated[-len(prompter.separator_ids) :] == plain[-len(prompter.separator_ids) :]
    joint = tokenizer("Text: hi\nLabel: what?!==\n", add_special_tokens=False)["input_ids"]
    assert len(joint) < len(punctuated), "this tokenizer should merge the signs of joint text"
    assert prompter.texts(["hi"])[0] == punctuated[: len(prompter.texts(["hi"])[0])]


@pytest.mark.parametrize("bos", [True, False])
def test_a_label_has_the_same_ids_in_blocks_fresh_demonstrations_query_and_trie(bos: bool) -> None:
    tokenizer = Words(bos=bos)
    prompter = Prompter(tokenizer)
    labels = ("card_arrival", "what?", "top up by card")
    demonstrations = prompter.demonstrations(["a b", "c", "d"], labels)
    trie = LabelTrie.of(labels, prompter)
    for text, label, ids, end in zip(["a b", "c", "d"], labels, demonstrations, trie.ends, strict=True):
        path, node = [], end
        while node >= 0:
            path.append(trie.tokens[node])
            node = trie.parents[node]
        own = tuple(reversed(path))
        assert own == prompter.label(label)
        assert ids == (*prompter.query(text), *own, *prompter.separator_ids)
        assert tokenizer.decode(own) == " " + label.replace("_", " "), "label ids begin with the space"
        assert tokenizer.decode(ids) == f"Text: {text}\nLabel: {label.replace('_', ' ')}\n==\n"
    assert trie.terminator_id == prompter.separator_ids[0]


def test_the_query_ends_with_the_label_prefix_and_no_space() -> None:
    tokenizer = ByteTokenizer()
    assert bytes(Prompter(tokenizer).query("where?")).decode() == "Text: where?\nLabel:"
    assert bytes(Prompter(tokenizer, PromptTemplate(text_prefix="")).query("where?")).decode() == "where?\nLabel:"


def test_every_block_ends_with_the_separator() -> None:
    prompter = Prompter(ByteTokenizer())
    ids = prompter.demonstrations(["a", "b", "c"], ["x", "y", "x"])
    assert all(part[-len(prompter.separator_ids) :] == prompter.separator_ids for part in ids)
    blocks = group((0, 1, 2), ids, BlockPattern(2))
    assert all(block.token_ids[-len(prompter.separator_ids) :] == prompter.separator_ids for block in blocks)


@pytest.mark.parametrize("bos", [True, False])
def test_bos_stands_once_at_the_very_start_of_every_method_and_only_with_a_bos_tokenizer(
    bos: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes through the model is looked at: each forward at position 0 begins with the BOS, no other holds it."""
    model = tiny_model("llama", bos=bos)
    pool = Pool.of([(f"word{i} is {i}", "xy"[i % 2]) for i in range(8)])
    setup = Setup.of(Task(model, pool), EncodeSettings(pool_tokens=400, block_size=2))
    seen: list[tuple[list[int], list[int]]] = []
    run = type(model).run

    def spy(self: Any, token_ids: Any, positions: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((token_ids.tolist(), positions.tolist()))
        return run(self, token_ids, positions, *args, **kwargs)

    monkeypatch.setattr(type(model), "run", spy)
    for name in ("dbsa", "dbsa_fresh", "fixed_icl", "retrieval_icl", "nearest", "zero_shot"):
        seen.clear()
        make_method(name, QuerySettings(ratio=0.6)).fit(setup).predict("word3 is it")
        placed = [place for tokens, positions in seen for token, place in zip(tokens, positions, strict=True)
                  if token == 256]  # fmt: skip
        assert placed == ([0] if bos else []), name


def test_a_bos_id_that_the_tokenizer_does_not_add_by_itself_is_not_added() -> None:
    tokenizer = ByteTokenizer(bos=False)
    tokenizer.bos_token_id = 256
    tokenizer._encode = lambda text, special: list(text.encode())  # type: ignore[method-assign]
    assert Prompter(tokenizer).prefix_ids == ()
    blocks = group((0,), [(1, 2)], BlockPattern(1))
    assert with_prefix(blocks, ())[0].token_ids == (1, 2)
    assert with_prefix(blocks, (256,))[0].token_ids == (256, 1, 2)


def test_only_block_0_gets_the_bos() -> None:
    blocks = with_prefix(group((0, 1, 2), [(1,), (2,), (3,)], BlockPattern(1)), (256,))
    assert [block.token_ids for block in blocks] == [(256, 1), (2,), (3,)]
    assert with_prefix(group((7,), [(9,)], BlockPattern(1), first_block=4), (256,))[0].token_ids == (9,)


@pytest.mark.parametrize("text", ["one two", "one", " leading", "?!"])
def test_with_a_dummy_space_before_the_first_word_ids_are_those_in_context(text: str) -> None:
    """The tokenizer alone would put a space before the text, the separator and the label; in context there is none."""
    tokenizer = Words(dummy=True)
    prompter = Prompter(tokenizer)
    demonstration = prompter.demonstrations([text], ["card_lost"])[0]
    assert tokenizer.decode(demonstration) == f"Text: {text}\nLabel: card lost\n==\n"
    in_context = tokenizer(f"\n==\nText: {text}\nLabel: card lost\n==\n", add_special_tokens=False)["input_ids"]
    assert tuple(in_context[-len(demonstration) :]) == demonstration
    assert tokenizer.decode(prompter.label_cue) == "\nLabel:"


def test_labels_equal_after_underscores_are_refused() -> None:
    model = tiny_model("llama")
    prompter = Prompter(ByteTokenizer())
    with pytest.raises(DataError, match=r"'card_lost' and 'card lost' are the same"):
        prompter.check_labels(["card_lost", "card", "card lost"])
    with pytest.raises(DataError, match=r"'a__b' and 'a_b'|'a_b' and 'a__b'"):
        Task(model, Pool.of([("x", "a_b"), ("y", "a__b")]))
    prompter.check_labels(["card", "cards", "Card"])


def test_a_label_that_holds_the_terminator_is_refused() -> None:
    prompter = Prompter(ByteTokenizer(), PromptTemplate(separator="; "))
    with pytest.raises(DataError, match=r"'lost;found' holds the token that ends labels"):
        prompter.check_labels(["fine", "lost;found"])
    prompter.check_labels(["fine", "lost found"])


def test_a_label_without_tokens_is_refused() -> None:
    class Deaf(ByteTokenizer):
        def _encode(self, text: str, special: bool) -> list[int]:
            return super()._encode(text.replace(" ~", ""), special)

    with pytest.raises(DataError, match="'~' has no tokens"):
        Prompter(Deaf()).label("~")


def test_the_presets_are_the_papers_words() -> None:
    assert set(PRESETS) == {"default", "trec", "banking77", "clinc150", "nlu"}
    assert template("trec").text_part("why?") == "Question: why?\nType:"
    assert template("trec_fine") == template("trec")
    assert template("banking77").text_part("why?") == "query: why?\nintent:"
    assert template("clinc150") == template("nlu") == PromptTemplate("utterance:", "intent:")
    assert {preset.separator for preset in PRESETS.values()} == {"\n==\n"}
    with pytest.raises(SettingsError, match="no prompt preset 'sst2'; the presets are default, trec"):
        template("sst2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"label_prefix": ""}, "label prefix is empty"),
        ({"label_prefix": "  "}, "label prefix is empty"),
        ({"label_prefix": "Label: "}, "'Label: ' ends with white space"),
        ({"label_prefix": "Label:\n"}, "ends with white space"),
        ({"separator": ""}, "separator is empty"),
        ({"separator": "  "}, "separator is empty"),
        ({"separator": " ; "}, "separator begins with a space"),
    ],
)
def test_a_template_that_cannot_work_is_refused_with_a_sentence(words: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        PromptTemplate(**words)


@pytest.mark.slow
@pytest.mark.parametrize("label", ["card", "card_arrival", "what?", "NUM", "top up 10"])
def test_the_embedded_tokenizers_ids_are_those_of_joint_text(label: str) -> None:
    from transformers import AutoTokenizer

    from dbsa_core.folders import default_cache_folder
    from dbsa_core.model.embedded import embedded_gguf
    from dbsa_core.model.loading import converted

    tokenizer = AutoTokenizer.from_pretrained(str(converted(embedded_gguf(), default_cache_folder())))
    prompter = Prompter(tokenizer)
    shown = PromptTemplate.shown(label)
    text = "where is my card"
    joint = tokenizer(f"Text: {text}\nLabel: {shown}", add_special_tokens=False)["input_ids"]
    assert (*prompter.query(text), *prompter.label(label)) == tuple(joint)
    alone = tokenizer(f"Label: {shown}", add_special_tokens=False)["input_ids"]
    assert prompter.label(label) == tuple(alone[len(tokenizer("Label:", add_special_tokens=False)["input_ids"]) :])

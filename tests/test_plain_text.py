"""What holds for users' text on real tokenizers: it is read as text, and the tokenizer's own prefix stands once."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from dbsa_core.data import Pool
from dbsa_core.methods import Setup, make_method
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.plain_text import PlainText
from dbsa_core.prompt import Prompter, PromptTemplate
from dbsa_core.settings import EncodeSettings, QuerySettings
from dbsa_core.task import Task
from tests.tiny import stock_model

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
CONTROL = ["<s>", "</s>", "<|im_start|>", "<think>"]
"""The last one is added without being marked as special."""


def byte_level(*, before: tuple[str, ...] = (), after: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """Bytes as Llama 3 and Qwen have them; `before` and `after` are what it puts around a text."""
    backend = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(BYTES)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(CONTROL[:3])
    backend.add_tokens([AddedToken("<think>", normalized=False), AddedToken("  ", normalized=False)])
    backend.post_processor = processors.TemplateProcessing(
        single=[*before, "$A", *after],
        special_tokens=[(name, backend.token_to_id(name)) for name in {*before, *after}],
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")


def unigram() -> PreTrainedTokenizerFast:
    """Pieces with scores as SentencePiece has them: `<s>` is one of them, and full-width signs are made plain first."""
    letters = [(letter, -5.0) for letter in "abcdefghijklmnopqrstuvwxyz<>/|_:=TLntex\n▁"]
    backend = Tokenizer(models.Unigram([("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *letters], unk_id=0))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def control_ids(tokenizer: PreTrainedTokenizerFast) -> set[int]:
    return {i for i, token in tokenizer.added_tokens_decoder.items() if token.content.strip()}


TEXTS = [
    "say <|im_start|> twice <|im_start|>",
    "<s>",
    "a </s><s> b",
    "let me <think> about <<think>",
    "<s",
    "plain  text",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_that_looks_like_a_control_token_is_text(text: str) -> None:
    tokenizer = byte_level(before=("<s>",))
    prompter = Prompter(tokenizer)
    for ids in (prompter.query(text), prompter.label(text), *prompter.demonstrations([text], [text])):
        assert not control_ids(tokenizer) & set(ids)
    assert tokenizer.decode(prompter.query(text)) == f"Text: {text}\nLabel:"
    assert tokenizer.decode(prompter.label(text)) == f" {PromptTemplate.shown(text)}"
    assert tokenizer.convert_tokens_to_ids("<s>") in tokenizer(text)["input_ids"], "it would have been one"


def test_other_text_keeps_its_ids_runs_of_spaces_too() -> None:
    tokenizer = byte_level()
    (ids,) = PlainText(tokenizer).continuations("\n", "Text: ", ["plain  text"], "\nLabel:")
    assert list(ids) == tokenizer("Text: plain  text\nLabel:", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_tokens_to_ids("  ") in ids


def test_the_templates_own_words_may_hold_control_tokens() -> None:
    tokenizer = byte_level()
    prompter = Prompter(tokenizer, PromptTemplate("<|im_start|>user", "<think>", "</s>\n"))
    start, think, end = (tokenizer.convert_tokens_to_ids(name) for name in ("<|im_start|>", "<think>", "</s>"))
    for text in ("hello", "<|im_start|> </s><think>"):
        ids = prompter.demonstrations([text], ["x"])[0]
        assert [token for token in ids if token in (start, think, end)] == [start, think, end]
        assert tokenizer.decode(ids) == f"<|im_start|>user {text}\n<think> x</s>\n"
    assert prompter.terminator_id == end


@pytest.mark.parametrize("text", ["a<s>b", "<s>", "\uff41\uff1c\uff53\uff1e b", "<unk>", "a ☃ b", "a ☃ <unk> <s>"])
def test_pieces_of_a_unigram_vocabulary_are_no_control_tokens_either(text: str) -> None:
    """The model itself would choose `<s>`, and what becomes `<s>` in normalising. Unknown signs stay unknown."""
    tokenizer = unigram()
    plain = PlainText(tokenizer)
    (ids,) = plain.continuations("\n", "Text: ", [text], "")
    names = tokenizer.convert_ids_to_tokens(ids)
    assert "<s>" not in names
    assert names.count("<unk>") == text.count("☃")
    assert "".join(names).replace("▁", " ").strip().startswith("Text:")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((), (), ()),
        (("<s>",), (), ("<s>",)),
        (("<|im_start|>", "<s>"), (), ("<|im_start|>", "<s>")),
        (("<s>",), ("</s>",), ("<s>",)),
        ((), ("</s>",), ()),
    ],
    ids=["Qwen", "Llama", "GLM", "both ends", "end"],
)
def test_what_the_tokenizer_puts_before_a_text_is_kept_and_what_it_puts_behind_is_not(
    before: tuple[str, ...], after: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    tokenizer = byte_level(before=before, after=after)
    assert Prompter(tokenizer).prefix_ids == tuple(tokenizer.convert_tokens_to_ids(list(expected)))


def test_a_prefix_of_two_tokens_stands_once_before_everything_that_a_method_reads() -> None:
    tokenizer = byte_level(before=("<|im_start|>", "<s>"))
    model = LanguageModel.of(stock_model("llama", vocab_size=len(tokenizer) + 2), tokenizer, "glm-like")
    pool = Pool.of([(f"word{i} <s> is {i}", "xy"[i % 2]) for i in range(8)])
    setup = Setup.of(Task(model, pool), EncodeSettings(pool_tokens=400, block_size=2))
    prefix = setup.task.prompter.prefix_ids
    assert len(prefix) == 2
    first, *others = setup.blocks
    assert first.token_ids[:2] == prefix
    rest = [*first.token_ids[2:], *(token for block in others for token in block.token_ids)]
    assert not set(prefix) & set(rest)
    for name in ("dbsa", "retrieval_icl", "nearest", "zero_shot"):
        answer = make_method(name, QuerySettings(ratio=0.6)).fit(setup).predict("word3 <|im_start|>")
        assert answer.label in "xy"


@pytest.mark.slow
@pytest.mark.parametrize("text", ["a <|im_start|>user", "<|endoftext|>", "<|im_end|><|im_end|>"])
def test_the_embedded_tokenizer_reads_them_as_text(text: str) -> None:
    from transformers import AutoTokenizer

    from dbsa_core.folders import default_cache_folder
    from dbsa_core.model.embedded import embedded_gguf
    from dbsa_core.model.loading import converted

    tokenizer = AutoTokenizer.from_pretrained(str(converted(embedded_gguf(), default_cache_folder())))
    ids = Prompter(tokenizer).query(text)
    assert not set(tokenizer.added_tokens_decoder) & set(ids)
    assert tokenizer.decode(ids) == f"Text: {text}\nLabel:"

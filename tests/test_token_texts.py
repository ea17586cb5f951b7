"""What tokens say: one after the other they are the text, for the kinds of tokenizers that models have."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dbsa_core.prompt import Prompter
from dbsa_core.token_texts import TokenTexts
from tests.test_plain_text import byte_level, unigram
from tests.tiny import ByteTokenizer

TEXT = "the next line\nto the  end, naïve 🙂🙂 日本"


def with_byte_fallback() -> PreTrainedTokenizerFast:
    """As Llama 2 and Gemma have it: words with their space before them, and bytes for signs that have no token."""
    words = ["▁the", "▁next", "▁line", "▁to", "▁end", "▁", ",", "n", "a", "v", "e", "Text", ":", "Label"]
    vocabulary = {"<unk>": 0, "<s>": 1} | {f"<0x{byte:02X}>": byte + 2 for byte in range(256)}
    vocabulary |= {word: 258 + at for at, word in enumerate(words)}
    backend = Tokenizer(models.Unigram([(word, -1.0) for word in vocabulary], unk_id=0, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens(["<s>"])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", unk_token="<unk>")


@pytest.mark.parametrize("make", [byte_level, with_byte_fallback, ByteTokenizer], ids=lambda make: make.__name__)
def test_one_after_the_other_they_are_the_text(make: Any) -> None:
    ids = Prompter(make()).query(TEXT)
    texts = TokenTexts(make()).of(ids)
    assert len(texts) == len(ids)
    assert "".join(texts).strip() == f"Text: {TEXT}\nLabel:"
    at = texts.index("🙂")
    assert texts[at + 1 : at + 4] == ("", "", "")
    assert texts[at + 4] == "🙂"


def test_a_word_keeps_the_space_before_it() -> None:
    tokenizer = with_byte_fallback()
    ids = tokenizer("the next the", add_special_tokens=False)["input_ids"]
    assert TokenTexts(tokenizer).of(ids) == (" the", " next", " the")
    assert tokenizer.decode(ids) == "the next the", "the decoder drops the first one"
    spaces = unigram()
    assert "".join(TokenTexts(spaces).of(spaces("ten next", add_special_tokens=False)["input_ids"])) == " ten next"


@pytest.mark.slow
def test_the_embedded_models_are_whole_words() -> None:
    from transformers import AutoTokenizer

    from dbsa_core.folders import default_cache_folder
    from dbsa_core.model.embedded import embedded_gguf
    from dbsa_core.model.loading import converted

    tokenizer = AutoTokenizer.from_pretrained(str(converted(embedded_gguf(), default_cache_folder())))
    ids = Prompter(tokenizer).query("where is my parcel 🙂")
    texts = TokenTexts(tokenizer).of(ids)
    assert "".join(texts) == "Text: where is my parcel 🙂\nLabel:"
    assert {" is", " my"} <= {*texts}


def test_special_tokens_are_named_and_what_cannot_be_read_stands_as_it_is() -> None:
    tokenizer = byte_level(before=("<s>",))
    bos = tokenizer.convert_tokens_to_ids("<s>")
    half = tokenizer("🙂", add_special_tokens=False)["input_ids"][:2]
    first, *rest = TokenTexts(tokenizer).of([bos, *half, bos])
    assert first == rest[-1] == "<s>"
    assert set("".join(rest[:-1])) == {"\N{REPLACEMENT CHARACTER}"}


def test_a_tokenizer_that_cannot_say_it_says_nothing() -> None:
    class Mute:
        def __call__(self, texts: list[str]) -> dict[str, list[list[int]]]:
            return {"input_ids": [[1] for _ in texts]}

    assert TokenTexts(Mute()).of([1, 2]) == ()

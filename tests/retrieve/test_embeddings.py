"""Vectors of rows and queries: made once, kept on disk, only new ones where a file grows; and the real encoder."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dbsa_core.errors import Cancelled, ModelError
from dbsa_core.interrupt import interruptible
from dbsa_core.retrieve import DEFAULT_EMBEDDER, embeddings, make_retriever
from dbsa_core.retrieve.alone import CLOSE, SIZES, encoded
from dbsa_core.retrieve.embedder import SentenceEncoder, _loaded, check_installed, load_embedder
from dbsa_core.retrieve.embeddings import FILES, Embeddings
from tests.letters import Letters

TEXTS = [f"row {i} of the card" for i in range(12)]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where vectors are kept, of few rows too."""
    monkeypatch.setenv("DBSA_CACHE", str(tmp_path))
    monkeypatch.setattr(embeddings, "WORTH_KEEPING", 4)
    monkeypatch.setattr(embeddings, "_AT_ONCE", 5)
    return tmp_path / "embeddings"


class TestEmbeddings:
    def test_rows_are_embedded_once_and_when_they_are_used(self, letters: Letters) -> None:
        found = Embeddings(TEXTS)
        assert letters.embedded == []
        np.testing.assert_array_equal(found.vectors, Letters().embed(TEXTS))
        assert found.vectors is found.vectors
        assert letters.embedded == TEXTS

    def test_a_query_is_embedded_once_however_many_retrievers_ask(self, letters: Letters) -> None:
        found = Embeddings(TEXTS)
        found.ahead(["one", "two", "one"])
        assert letters.embedded == ["one", "two"]
        np.testing.assert_array_equal(found.query("two"), Letters().embed(["two"])[0])
        found.query("three")
        found.ahead(["one", "two", "three"])
        assert letters.embedded == ["one", "two", "three"]
        found.forget()
        found.query("one")
        assert letters.embedded[-1] == "one"

    def test_all_rows_are_compared_to_a_query_once_in_a_row(self, letters: Letters) -> None:
        found = Embeddings(TEXTS)
        one = found.cosines("one")
        np.testing.assert_array_equal(one, found.vectors @ found.query("one"))
        assert found.cosines("one") is one
        with pytest.raises(ValueError, match="read-only"):
            one[0] = 0.0
        assert found.cosines("two") is not one
        np.testing.assert_array_equal(found.cosines("one"), one)
        found.forget()
        assert found.cosines("one") is not one

    def test_the_oldest_queries_are_forgotten(self, letters: Letters, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embeddings, "QUERIES", 3)
        found = Embeddings(TEXTS)
        for text in "abcde":
            found.query(text)
        assert list(found._queries) == ["c", "d", "e"]
        many = [f"query {i}" for i in range(5)]
        found.ahead(many)  # more than are remembered
        np.testing.assert_array_equal(found.query(many[0]), Letters().embed([many[0]])[0])

    def test_where_rows_are_added_only_they_are_embedded(self, letters: Letters) -> None:
        first = Embeddings(TEXTS[:8])
        _ = first.vectors
        second = Embeddings(TEXTS, before=first)
        np.testing.assert_array_equal(second.vectors, Letters().embed(TEXTS))
        assert letters.embedded == TEXTS
        assert Embeddings(TEXTS, before=second).vectors is second.vectors

    def test_no_rows_have_no_vectors(self) -> None:
        assert len(Embeddings([]).vectors) == 0


class TestDisk:
    def test_many_rows_are_read_from_the_disk_the_next_time(self, kept: Path, letters: Letters) -> None:
        first = Embeddings(TEXTS).vectors
        assert [path.suffix for path in kept.iterdir()] == [".npy"]
        letters.embedded.clear()
        np.testing.assert_array_equal(Embeddings(TEXTS).vectors, first)
        assert not set(letters.embedded) & set(TEXTS)

    def test_other_texts_and_other_encoders_are_other_files(self, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _ = Embeddings(TEXTS).vectors
        _ = Embeddings(TEXTS[::-1]).vectors
        _ = Embeddings([*TEXTS[:-1], TEXTS[-1] + "x"]).vectors
        assert len(list(kept.iterdir())) == 3

        class Turned(Letters):
            def embed(self, texts: object) -> np.ndarray:
                return -super().embed(texts)  # type: ignore[arg-type]

        monkeypatch.setattr("dbsa_core.retrieve.embeddings.load_embedder", lambda source, device: Turned())
        np.testing.assert_array_equal(Embeddings(TEXTS).vectors, Turned().embed(TEXTS))
        assert len(list(kept.iterdir())) == 4

    def test_few_rows_are_not_worth_a_file(self, kept: Path) -> None:
        _ = Embeddings(TEXTS[:3]).vectors
        assert not kept.exists()

    def test_a_damaged_file_is_made_anew(self, kept: Path) -> None:
        expected = Embeddings(TEXTS).vectors
        (path,) = kept.iterdir()
        path.write_bytes(b"\x93NUMPY nothing of the kind")
        np.testing.assert_array_equal(Embeddings(TEXTS).vectors, expected)
        np.testing.assert_array_equal(np.load(path), expected)

    def test_a_folder_that_cannot_be_written_stops_nobody(self, kept: Path, caplog: pytest.LogCaptureFixture) -> None:
        kept.write_text("a file where the folder would be")
        with caplog.at_level(logging.WARNING):
            assert len(Embeddings(TEXTS).vectors) == 12
        assert "not kept on the disk" in caplog.text

    def test_there_are_only_so_many_files(self, kept: Path) -> None:
        for number in range(FILES + 3):
            _ = Embeddings([*TEXTS, str(number)]).vectors
        assert len(list(kept.glob("*"))) == FILES

    def test_what_is_stopped_is_no_file_yet_and_goes_on(self, kept: Path, letters: Letters) -> None:
        found = Embeddings(TEXTS)
        with interruptible(lambda: letters.calls >= 2), pytest.raises(Cancelled):
            _ = found.vectors
        assert not kept.exists() or not list(kept.iterdir())
        assert [text for text in letters.embedded if text in TEXTS] == TEXTS[:5]
        assert found.progress is None, "nothing is going on"
        places = []
        with interruptible(lambda: bool(places.append(found.progress))):
            _ = found.vectors
        assert places == [None, (5, 12), (10, 12)]
        np.testing.assert_array_equal(found.vectors, Letters().embed(TEXTS))
        assert [text for text in letters.embedded if text in TEXTS] == TEXTS, "each once"


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    _loaded.cache_clear()
    with pytest.raises(
        ModelError, match=r"sentence-transformers, which is not here .*requirements-dense.txt.*or choose"
    ):
        load_embedder("other")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"sentence-transformers, which is not here"):
        check_installed()


class Odd:
    """Gives single texts other vectors than `encode` does, as an encoder with a prompt of its own."""

    device = "cpu"

    def __init__(self, apart: float, fails: bool = False):
        self.apart, self.fails, self.encodes = apart, fails, 0

    def preprocess(self, texts: list[str]) -> dict[str, object]:
        import torch

        if self.fails:
            raise TypeError("no such thing")
        return {"attention_mask": torch.ones(1, min(len(texts[0]), max(SIZES) + 1)), "said": texts[0]}

    def __call__(self, features: dict[str, str]) -> dict[str, object]:
        import torch

        return {"sentence_embedding": torch.from_numpy(Letters().embed([features["said"]])) + self.apart}

    def encode(self, texts: list[str], **options: object) -> np.ndarray:
        self.encodes += 1
        return Letters().embed(texts)


@pytest.mark.parametrize(("apart", "fails", "alone"), [(0.0, False, True), (0.1, False, False), (0.0, True, False)])
def test_a_single_text_goes_the_short_way_only_where_that_gives_the_same(
    apart: float, fails: bool, alone: bool
) -> None:
    model = Odd(apart, fails)
    encoder = SentenceEncoder("odd", model)
    for text in ("card", "another card", "long " * 60):
        np.testing.assert_allclose(encoder.embed([text]), Letters().embed([text]), atol=1e-6)
    assert model.encodes == (2 if alone else 4), "once to compare, and for what is too long; or for all of them"


@pytest.fixture(scope="module")
def real() -> Iterator[SentenceEncoder]:
    pytest.importorskip("sentence_transformers")
    found = load_embedder()
    assert isinstance(found, SentenceEncoder)
    yield found
    _loaded.cache_clear()


@pytest.mark.slow
@pytest.mark.real_encoder
class TestRealEncoder:
    def test_meaning_is_found_where_no_word_is_shared(self) -> None:
        texts = ["I lost my wallet", "what is the exchange rate", "cancel my subscription"]
        assert make_retriever("dense", texts).rank("my purse was stolen").order[0] == 0
        assert make_retriever("bm25", texts).rank("purse stolen").scores.max() == 0
        assert make_retriever("hybrid", texts).rank("purse stolen").order[0] == 0

    def test_a_text_alone_has_the_vector_that_it_has_among_others(self, real: SentenceEncoder) -> None:
        texts = ["a", "Which card?", "my card " * 20, "my card " * 200, "Straße 日本", ""]
        together = encoded(real._model, texts)
        for text, vector in zip(texts, together, strict=True):
            np.testing.assert_allclose(real.embed([text])[0], vector, atol=CLOSE)
        np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
        assert real._alone._usable, "it goes the short way"

    def test_it_works_without_a_hub_and_a_name_that_is_none_is_refused(self, real: SentenceEncoder) -> None:
        assert real.name == DEFAULT_EMBEDDER
        with pytest.raises(ModelError, match=r"sentence encoder 'no/such-encoder' cannot be loaded: .* Name 'all-Mini"):
            load_embedder("no/such-encoder")


@pytest.mark.gpu
@pytest.mark.real_encoder
def test_captured_forwards_give_what_the_library_gives() -> None:
    import torch

    pytest.importorskip("sentence_transformers")
    encoder = load_embedder(DEFAULT_EMBEDDER, "cuda")
    assert isinstance(encoder, SentenceEncoder)
    texts = ["a", "which card is it?", "my card " * 9, "my card " * 25, "my card " * 55, "my card " * 200, "b c"]
    together = encoded(encoder._model, texts)
    for _ in range(2):
        for text, vector in zip(texts, together, strict=True):
            np.testing.assert_allclose(encoder.embed([text])[0], vector, atol=CLOSE)
    assert encoder._alone._usable
    assert sorted(encoder._alone._ways) == list(SIZES)
    torch.cuda.synchronize()

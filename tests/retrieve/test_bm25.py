"""BM25 and its words: laws of ranking, a slow BM25 and rank_bm25's own scan as oracles, and texts in many scripts."""

from __future__ import annotations

import math
import random
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from rank_bm25 import BM25Okapi

from dbsa_core.errors import DataError, SettingsError
from dbsa_core.retrieve import RETRIEVERS, Ranking, make_retriever, nearest_rows
from dbsa_core.retrieve.bm25 import BM25Retriever, LuceneBM25
from dbsa_core.retrieve.tokens import _WORD, english_stem, fold, spans, words

BLOCKS = (
    "my card was declined at the shop",
    "the card has not arrived yet",
    "what is the exchange rate today",
    "a card payment appears twice",
)


def random_corpus(seed: int, documents: int = 60) -> list[list[str]]:
    generator = random.Random(seed)
    vocabulary = [f"w{i}" for i in range(40)]
    weights = [1 / (i + 1) for i in range(40)]
    return [generator.choices(vocabulary, weights, k=generator.randint(0, 30)) for _ in range(documents)]


def slow_bm25(corpus: Sequence[Sequence[str]], query: Sequence[str], k1: float = 1.2, b: float = 0.75) -> list[float]:
    """The textbook's formula, a word and a document at a time."""
    average = sum(map(len, corpus)) / len(corpus)
    scores = []
    for document in corpus:
        score = 0.0
        for word in query:
            holders = sum(word in other for other in corpus)
            frequency = document.count(word)
            if frequency:
                idf = math.log(1 + (len(corpus) - holders + 0.5) / (holders + 0.5))
                saturation = frequency + k1 * (1 - b + b * len(document) / average)
                score += idf * frequency * (k1 + 1) / saturation
        scores.append(score)
    return scores


class TestLaws:
    @pytest.mark.parametrize("name", ["bm25", "bm25-stem"])
    def test_a_word_in_three_of_four_blocks_ranks_the_fourth_last(self, name: str) -> None:
        ranking = make_retriever(name, BLOCKS).rank("card")
        assert ranking.order[-1] == 2
        assert ranking.scores[2] == 0
        assert min(ranking.scores[[0, 1, 3]]) > 0

    def test_where_okapi_alone_ranks_that_block_first_it_is_last_here(self) -> None:
        alike = ["the card", "the card", "the card", "the rate"]
        assert int(np.argmax(BM25Okapi([words(block) for block in alike]).get_scores(["card"]))) == 3
        assert make_retriever("bm25", alike).rank("card").order == (0, 1, 2, 3)

    @pytest.mark.parametrize("documents", [1, 2, 3, 50])
    def test_idf_is_positive_for_a_word_in_every_document(self, documents: int) -> None:
        index = LuceneBM25([["the", f"only{i}"] for i in range(documents)])
        assert min(index.idf.values()) > 0
        assert (index.get_scores(["the"]) > 0).all()

    def test_a_rare_word_weighs_more_than_a_common_one(self) -> None:
        matched = make_retriever("bm25", BLOCKS).matched_words("card declined", 0)
        assert list(matched) == ["declined", "card"]
        assert matched["declined"] > matched["card"]

    def test_equal_scores_keep_the_order_of_the_documents(self) -> None:
        ranking = make_retriever("bm25", ["x", "same words", "y", "same words", "same words"]).rank("same words")
        assert ranking.order == (1, 3, 4, 0, 2)

    def test_a_repeated_query_word_counts_as_often_as_it_occurs(self) -> None:
        retriever = make_retriever("bm25", BLOCKS)
        once, twice = retriever.rank("card"), retriever.rank("card card")
        np.testing.assert_array_equal(twice.scores, 2 * once.scores)
        assert retriever.matched_words("card card", 0)["card"] == 2 * retriever.matched_words("card", 0)["card"]

    def test_order_is_a_permutation_by_falling_score(self) -> None:
        corpus = [" ".join(document) for document in random_corpus(3)]
        ranking = make_retriever("bm25", corpus).rank("w0 w5 w9")
        assert sorted(ranking.order) == list(range(len(corpus)))
        assert (np.diff(ranking.scores[list(ranking.order)]) <= 0).all()
        assert all(type(document) is int for document in ranking.order)
        assert ranking.scores.dtype == np.float64

    def test_a_ranking_cannot_be_changed(self) -> None:
        ranking = make_retriever("bm25", BLOCKS).rank("card")
        with pytest.raises(ValueError, match="read-only"):
            ranking.scores[0] = 1.0

    def test_threads_get_what_one_thread_gets(self) -> None:
        texts = [f"{word}ing {word}ed {word}s" for document in random_corpus(5) for word in document]
        expected = [english_stem.__wrapped__(word) for text in texts for word in words(text)]
        english_stem.cache_clear()
        with ThreadPoolExecutor(8) as threads:
            found = threads.map(lambda text: [english_stem(word) for word in words(text)], texts)
            assert [stem for stems in found for stem in stems] == expected


class TestOracles:
    @pytest.mark.parametrize("seed", range(4))
    def test_scores_equal_a_slow_bm25(self, seed: int) -> None:
        corpus = random_corpus(seed)
        query = ["w0", "w3", "w3", "w17", "w39", "unknown"]
        np.testing.assert_allclose(LuceneBM25(corpus).get_scores(query), slow_bm25(corpus, query), rtol=1e-12)

    @pytest.mark.parametrize("seed", range(4))
    def test_postings_equal_the_scan_of_rank_bm25_to_the_bit(self, seed: int) -> None:
        index = LuceneBM25(random_corpus(seed))
        for query in random_corpus(seed + 100, documents=20):
            np.testing.assert_array_equal(index.get_scores(query), BM25Okapi.get_scores(index, query))

    def test_retriever_equals_the_slow_bm25_of_its_words(self) -> None:
        scores = make_retriever("bm25", BLOCKS).rank("When has the CARD arrived?").scores
        expected = slow_bm25([block.split() for block in BLOCKS], ["when", "has", "the", "card", "arrived"])
        np.testing.assert_allclose(scores, expected, rtol=1e-12)

    def test_ascii_words_equal_those_of_the_full_pattern(self) -> None:
        generator = random.Random(0)
        alphabet = [chr(code) for code in range(128)] + list("''aB7_ ") * 8
        for _ in range(300):
            text = "".join(generator.choices(alphabet, k=60))
            expected = [(match.start(), match.end(), fold(match.group())) for match in _WORD.finditer(text)]
            assert spans(text) == expected
            assert words(text) == [word for _, _, word in expected]


class TestEmpty:
    @pytest.mark.parametrize("query", ["", "   ", "?!", "🙂", "unheard"])
    def test_a_query_without_known_words_leaves_the_order_of_the_pool(self, query: str) -> None:
        retriever = make_retriever("bm25", BLOCKS)
        ranking = retriever.rank(query)
        assert ranking.order == (0, 1, 2, 3)
        assert not ranking.scores.any()
        assert retriever.matched_words(query, 0) == {}
        assert nearest_rows(retriever, query, 3) == ()

    def test_an_empty_document_scores_zero(self) -> None:
        ranking = make_retriever("bm25", ["", "card", "🙂"]).rank("card")
        assert ranking.order == (1, 0, 2)
        assert ranking.scores[0] == ranking.scores[2] == 0

    @pytest.mark.parametrize("documents", [[""], ["", "!"]])
    def test_documents_without_any_word(self, documents: list[str]) -> None:
        assert not make_retriever("bm25", documents).rank("card").scores.any()

    @pytest.mark.parametrize("name", RETRIEVERS)
    def test_no_documents_is_an_error(self, name: str) -> None:
        with pytest.raises(DataError, match="at least one"):
            make_retriever(name, [])


class TestNearestRows:
    def test_best_first_and_no_more_than_asked_for(self) -> None:
        retriever = make_retriever("bm25", BLOCKS)
        order = retriever.rank("the card arrived").order
        assert order[0] == 1
        assert nearest_rows(retriever, "the card arrived", 2) == order[:2]
        assert nearest_rows(retriever, "the card arrived", 0) == ()

    def test_rows_with_nothing_in_common_are_not_returned(self) -> None:
        retriever = make_retriever("bm25", BLOCKS)
        assert set(nearest_rows(retriever, "card", 10)) == {0, 1, 3}
        assert nearest_rows(retriever, "declined", 10) == (0,)

    def test_excluded_rows_make_room_for_the_next(self) -> None:
        retriever = make_retriever("bm25", BLOCKS)
        first, second, third = nearest_rows(retriever, "card", 3)
        assert nearest_rows(retriever, "card", 2, exclude={first}) == (second, third)
        assert nearest_rows(retriever, "card", 2, exclude=[first, second, third, 99]) == ()

    def test_a_negative_count_is_an_error(self) -> None:
        with pytest.raises(SettingsError, match="-1"):
            nearest_rows(make_retriever("bm25", BLOCKS), "card", -1)


class TestRegistry:
    @pytest.mark.parametrize("name", RETRIEVERS)
    def test_a_retriever_knows_its_name(self, name: str) -> None:
        retriever = make_retriever(name, BLOCKS, seed=3)
        assert retriever.name == name
        assert isinstance(retriever.rank("card"), Ranking)

    def test_an_unknown_name_lists_the_accepted_ones(self) -> None:
        with pytest.raises(SettingsError, match=r"'bm52'.*bm25, bm25-stem, dense, hybrid, bm25\+mmr.*random"):
            make_retriever("bm52", BLOCKS)


class TestStem:
    def test_forms_of_a_word_meet_only_with_stems(self) -> None:
        documents = ["payments were refunded", "nothing of the kind"]
        assert make_retriever("bm25", documents).rank("refunding a payment").scores[0] == 0
        assert make_retriever("bm25-stem", documents).rank("refunding a payment").scores[0] > 0

    def test_possessive(self) -> None:
        assert english_stem("bank's") == english_stem("banks") == "bank"

    def test_each_form_in_the_document_has_the_weight_of_the_stem(self) -> None:
        retriever = make_retriever("bm25-stem", ["Refunded cards, refunding; CARD and card", "other"])
        matched = retriever.matched_words("refund", 0)
        assert list(matched) == ["Refunded", "refunding"]
        assert set(matched.values()) == {float(retriever.rank("refund").scores[0])}
        assert list(retriever.matched_words("card", 0)) == ["cards", "CARD"]

    @pytest.mark.parametrize("word", ["信", "بطاقة", "карта", "café"])
    def test_other_scripts_stay(self, word: str) -> None:
        assert english_stem(word) == word


class TestMatchedWords:
    def test_weights_sum_to_the_score(self) -> None:
        retriever = make_retriever("bm25", BLOCKS)
        query = "the card was declined at the shop today"
        for document, score in enumerate(retriever.rank(query).scores):
            assert sum(retriever.matched_words(query, document).values()) == pytest.approx(score, rel=1e-12)

    def test_keys_are_as_in_the_document_where_the_word_comes_first(self) -> None:
        retriever = make_retriever("bm25", ["In der STRASSE, dann Straße", "anderswo"])
        assert list(retriever.matched_words("straße", 0)) == ["STRASSE"]

    def test_every_occurrence_is_found_by_its_folded_word(self) -> None:
        text = "Card? My card’s CARD."
        matched = make_retriever("bm25", [text, "other"]).matched_words("card", 0)
        folded = {fold(word) for word in matched}
        assert [text[start:end] for start, end, word in spans(text) if word in folded] == ["Card", "CARD"]

    def test_random_has_none(self) -> None:
        assert make_retriever("random", BLOCKS).matched_words("card", 0) == {}


class TestWords:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Don't stop, it's 24/7!", ["don't", "stop", "it's", "24", "7"]),
            ("don’t 'quoted' dogs'", ["don't", "quoted", "dogs"]),
            ("l’été", ["l'été"]),
            ("snake_case e-mail", ["snake", "case", "e", "mail"]),
            ("Straße STRASSE", ["strasse", "strasse"]),
            ("ＡＢＣ１２ ﬁne", ["abc12", "fine"]),  # noqa: RUF001 - full-width letters are the point
            ("我的卡丢了。card掛失", ["我", "的", "卡", "丢", "了", "card", "掛", "失"]),
            ("カード ｶﾞｽ", ["カ", "ー", "ド", "ガ", "ス"]),
            ("카드를 분실", ["카드를", "분실"]),
            ("أين بطاقتي؟", ["أين", "بطاقتي"]),
            ("مَدرسة", ["مَدرسة"]),
            ("हिन्दी में", ["हिन्दी", "में"]),
            ("บัตร", ["บั", "ต", "ร"]),
            ("Где карта?", ["где", "карта"]),
            ("great 👍🏽❤️ 1️⃣ job🙂done", ["great", "1", "job", "done"]),
            ("👨‍👩‍👧 🇩🇪", []),
            ("", []),
        ],
    )
    def test_scripts(self, text: str, expected: list[str]) -> None:
        assert words(text) == [unicodedata.normalize("NFKC", word) for word in expected]

    @pytest.mark.parametrize("text", ["Café ÉTÉ", "Straße", "हिन्दी में", "한국어 카드", "ガス", "مَدرسة", "Việt Nam"])
    def test_composed_and_decomposed_are_the_same_words(self, text: str) -> None:
        assert words(unicodedata.normalize("NFD", text)) == words(unicodedata.normalize("NFC", text))

    @pytest.mark.parametrize(
        "text", ["Don’t pay Straße, 我的卡 🙂 e\u0301te\u0301 İstanbul", "plain ASCII, isn't it?", ""]
    )
    def test_spans_lie_in_the_text(self, text: str) -> None:
        found = spans(text)
        assert [word for _, _, word in found] == words(text)
        assert [fold(text[start:end]) for start, end, _ in found] == words(text)
        ends = [0, *(end for _, end, _ in found)]
        assert all(end <= start for end, (start, _, _) in zip(ends, found, strict=False))

    def test_accents_count(self) -> None:
        assert words("cafe") != words("café")

    def test_folding_twice_changes_nothing(self) -> None:
        for code in range(0x20, 0x3000):
            assert fold(fold(chr(code))) == fold(chr(code))

    def test_chinese_finds_its_row(self) -> None:
        retriever = make_retriever("bm25", ["我的银行卡丢了", "今天的汇率是多少", "转账失败了"])
        assert nearest_rows(retriever, "汇率多少?", 1) == (1,)
        assert list(retriever.matched_words("汇率", 1)) == ["汇", "率"]


class TestLikeness:
    """Scores as a share of what the query itself would score as a document."""

    @pytest.mark.parametrize("stem", [False, True])
    def test_it_is_the_textbooks_score_over_the_querys_own(self, stem: bool) -> None:
        index = BM25Retriever(BLOCKS, stem=stem)
        for query in ("my card card was declined", "a card payment", "unknown card words"):
            documents = [words(text) for text in BLOCKS]
            asked = words(query)
            if stem:
                documents, asked = [[*map(english_stem, text)] for text in documents], [*map(english_stem, asked)]
            # The query as a document of its own, by the idf and the mean length of the others.
            average = sum(map(len, documents)) / len(documents)
            own = 0.0
            for word in asked:
                holders, frequency = sum(word in other for other in documents), asked.count(word)
                idf = math.log(1 + (len(documents) - holders + 0.5) / (holders + 0.5))
                own += idf * frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * len(asked) / average))
            want = np.minimum(1, np.array(slow_bm25(documents, asked)) / own)
            assert index.likeness(query) == pytest.approx(want)

    def test_a_text_is_wholly_like_itself_and_not_at_all_like_one_without_its_words(self) -> None:
        index = BM25Retriever(BLOCKS)
        for place, text in enumerate(BLOCKS):
            found = index.likeness(text)
            assert found[place] == pytest.approx(1.0)
            assert all(0 <= other <= 1 for other in found)
        assert not index.likeness("nothing known").any()
        assert not index.likeness("?!").any()
        assert not BM25Retriever(["", "!"]).likeness("card").any()

    def test_unknown_words_make_a_query_less_like_a_document(self) -> None:
        index = BM25Retriever(BLOCKS)
        assert index.likeness("card payment zebra").max() < index.likeness("card payment").max()


@pytest.mark.parametrize("stem", [False, True])
def test_it_knows_how_many_documents_contain_a_word(stem: bool) -> None:
    documents = ["Cards are lost", "a card, a card", "nothing"]
    found = BM25Retriever(documents, stem=stem)
    assert (found.holders("a"), found.holders("LOST"), found.holders("unknown"), found.holders("")) == (1, 1, 0, 0)
    assert found.holders("card") == (2 if stem else 1)

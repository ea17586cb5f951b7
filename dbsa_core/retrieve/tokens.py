"""Text to the words that retrieval counts, in any script, with the place of each word in the text.

Knows nothing about the tokenizer of a model, and nothing about scores.

A word is a run of letters, digits and their combining marks, with apostrophes inside it kept ("don't"). Scripts written
without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) have no such runs: there each character is a word.
Punctuation, underscores, symbols and emoji separate words and are none themselves. Accents count: "cafe" is not "café".
"""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import cache, lru_cache

import snowballstemmer

_APOSTROPHES = "'\u2018\u2019\u02bc\uff07"
_TO_APOSTROPHE = str.maketrans(dict.fromkeys(_APOSTROPHES, "'"))
_UNSPACED = (
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u0edc-\u0edf"  # Thai, Lao
    "\u1000-\u102a\u103f\u1050-\u1055\u1780-\u17b3"  # Burmese, Khmer
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"  # Han, half-width katakana
)


def _combining_marks() -> str:
    """Every mark that `\\w` leaves out though it belongs to the letter before it: vowel signs, decomposed accents."""
    candidates = map(chr, range(0x300, 0x20000))
    marks = "".join(mark for mark in candidates if unicodedata.category(mark) in ("Mn", "Mc"))
    # Variation selectors only choose a glyph; the half-width voicing marks are letters to Unicode but act as marks.
    return re.sub("[\ufe00-\ufe0f]", "", marks) + "\uff9e\uff9f"


def _word_pattern() -> re.Pattern[str]:
    marks = _combining_marks()
    letters = rf"[^\W_{_UNSPACED}\uff9e\uff9f]"
    run = rf"{letters}+(?:[{marks}]+{letters}*)*"
    return re.compile(rf"{run}(?:[{_APOSTROPHES}]{run})*|[{_UNSPACED}][{marks}]*")


_WORD = _word_pattern()
# The same over ASCII, and several times as fast.
_ASCII_WORD = re.compile(r"[A-Za-z0-9]+(?:'[A-Za-z0-9]+)*")
_STEMMER_LOCK = threading.Lock()


def fold(word: str) -> str:
    """The form in which words are compared: compatibility-composed (NFKC), case-folded, with a plain apostrophe."""
    if word.isascii():
        return word.lower()
    # Case-folding can leave its result decomposed, hence the second pass.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())
    return folded.translate(_TO_APOSTROPHE)


def spans(text: str) -> list[tuple[int, int, str]]:
    """`(start, end, word)` for each word in turn: `text[start:end]` as written, `word` as folded."""
    pattern = _ASCII_WORD if text.isascii() else _WORD
    return [(match.start(), match.end(), fold(match.group())) for match in pattern.finditer(text)]


def words(text: str) -> list[str]:
    """The folded words of `text`, in order."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return [fold(word) for word in _WORD.findall(text)]


@lru_cache(maxsize=200_000)
def english_stem(word: str) -> str:
    """The English stem of a folded word ("payments" to "payment"); a word in another script stays as it is."""
    # A stemmer keeps the word it works on as state, so two threads must not share it.
    with _STEMMER_LOCK:
        stemmed: str = _english_stemmer().stemWord(word)
    return stemmed


@cache
def _english_stemmer() -> snowballstemmer.stemmer:
    return snowballstemmer.stemmer("english")

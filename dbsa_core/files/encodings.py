"""The encoding of text that is not UTF-8: the one under which its letters are a language's, and stand as they do there.

Looks at bytes and letters alone; knows nothing about tables. Detection by charset-normalizer reads the short texts of a
table wrongly (Thai and EUC-JP as Windows-1252, Polish and Turkish too), hence this one: a few languages, each by the
order in which its letters are frequent.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SAMPLE_BYTES = 262_144
SAMPLE_WORDS = 5_000
GOOD = -4.6
"""Mean log-probability of a letter from which on a language is found; under a wrong encoding it is some -6 or less."""
DEFAULT = "windows-1252"
RARER = 4.0
"""What another encoding's log-probability has to be better by than that of `DEFAULT`."""

_CYRILLIC = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъёієїґў"
_GREEK = "αοιετσνηυρπκμλςωάδίόχγθέύφήβώξζψϊϋΐΰ"
_HEBREW = "יוהלאתרבמשנדכעםקפחגטזןסצךץף"
_ARABIC = "اليمنورتبةدسعكهقفجحطشصخضغثذزىئأإؤآءظپچژگکی"
_THAI = "านรอกเ่งย้ลมีัทวสิดแตปบคไ์ใขโหะจชำุูึพืถผซศษณธญ็ภฐฉฟๆฝฮฎฏฑฒฬฤๅ"
# Letters beyond ASCII, the frequent ones first.
_LATIN = {
    "western": (
        *("éèàêçâîôûùëïœÿ", "üäöß", "óíáéñúü", "ãçáéíóõúâêàô", "àèùòìé", "äåöé", "åøæé", "áíðéóþúæýö", "ëéïöüè"),
    ),
    "central": ("łąęóśżźćń", "íáěéřčšžýůúťďňó", "áéčšžíýúľťôňďóäŕĺ", "áéőíóöüűú", "ăâîşţ", "čšžćđ", "äöüß"),
    "turkish": ("ıüşğçöîâû",),
    "baltic": ("āčēģīķļņšūžō", "ąčęėįšųūž", "äöõüšž"),
}


@dataclass(frozen=True)
class _Candidate:
    encoding: str
    alphabets: Sequence[str]
    latin: bool = False


# Of encodings under which a text is the same, the first one is named.
_SINGLE_BYTE = (
    _Candidate(DEFAULT, _LATIN["western"], latin=True),
    _Candidate("windows-1250", _LATIN["central"], latin=True),
    _Candidate("windows-1254", _LATIN["turkish"], latin=True),
    _Candidate("windows-1257", _LATIN["baltic"], latin=True),
    _Candidate("iso-8859-2", _LATIN["central"], latin=True),
    _Candidate("iso-8859-15", _LATIN["western"], latin=True),
    _Candidate("windows-1251", [_CYRILLIC]),
    _Candidate("koi8-r", [_CYRILLIC]),
    _Candidate("koi8-u", [_CYRILLIC]),
    _Candidate("iso-8859-5", [_CYRILLIC]),
    _Candidate("cp866", [_CYRILLIC]),
    _Candidate("windows-1253", [_GREEK]),
    _Candidate("iso-8859-7", [_GREEK]),
    _Candidate("windows-1255", [_HEBREW]),
    _Candidate("iso-8859-8", [_HEBREW]),
    _Candidate("windows-1256", [_ARABIC]),
    _Candidate("iso-8859-6", [_ARABIC]),
    _Candidate("cp874", [_THAI]),
)
_JAPANESE, _KOREAN, _CHINESE = ("cp932", "euc_jp"), ("euc_kr", "cp949"), ("gb18030", "big5hkscs")
SURE_SIGNS = {"cp932": 4, "euc_jp": 4, "euc_kr": 4, "cp949": 12, "gb18030": 12, "big5hkscs": 12}
"""So many signs beyond ASCII make a sample of East Asian text sure."""
_USUAL_CHINESE = (
    "的一是不了在人有我他中大上国國个個到说說们們为為子和你地出道也时時年得就那要下以生会會自着著去之过過家学學对對可她里裡後后小么麼心多天"
    "而能好都然没沒日于於起还還发發成事只作当當想看文无無开開手十用主行方又如前所本见見经經头頭面公同三已老从從动動两兩长長这這来來什请請"
    "快递遞收件单單货貨品退款换換订訂买買服务務电電话話时間间"
)
_LETTERS = re.compile(r"(?:[^\W\d_]|[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0e31-\u0e4e])+")
_HIGH = re.compile(r"[^\x00-\x7f]")
_SIGN = "[\u00a1-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u02c7-\u02dd\u20ac\u201e\u2020-\u2026\u2030]"
_LETTER = r"[^\W\d_]"
_STRANGE = re.compile(rf"[\x80-\x9f\u200e\u200f\ufffd\ue000-\uf8ff\u2500-\u25ff]|(?<={_LETTER}){_SIGN}(?={_LETTER})")
"""What hardly stands in a text: controls, boxes, what has no meaning; fractions and the like inside of a word."""
_ODD = re.compile(rf"(?<={_LETTER})[\u00b1\u00b9\u00bc-\u00be]|[\u00b0\u00b1\u00b9\u00bc-\u00be\u00f7](?={_LETTER})")
"""Signs that seldom stand at a word."""


def guess_encoding(data: bytes) -> str | None:
    """The encoding of text that is not UTF-8; None where nothing fits, as for bytes that are no text."""
    sample = data[:SAMPLE_BYTES]
    if len(sample) < len(data):
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    shares = _east_asian_shares(sample)
    if sure := _east_asian({name: own for name, own in shares.items() if own["signs"] >= SURE_SIGNS[name]}, sure=True):
        return sure
    scores = {c.encoding: score for c in _SINGLE_BYTE if (score := _single_byte_score(sample, c)) is not None}
    high = sum(byte >= 0x80 for byte in sample)
    # A few letters say little: then the Western one stands, as long as another is not clearly better.
    best = max(scores, key=lambda name: scores[name] * high - (RARER if name != DEFAULT else 0), default=None)
    if best is not None and scores[best] >= GOOD:
        return best
    return _east_asian(shares, sure=False) or (DEFAULT if DEFAULT in scores else None)


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        # A sample may end in the middle of a character.
        return data[: error.start].decode(encoding) if error.start > len(data) - 4 and error.start else None


def utf16_order(data: bytes) -> str | None:
    """UTF-16 without a mark: of the two byte orders the one under which line ends and spaces are some."""
    found = {}
    for encoding in ("utf-16-le", "utf-16-be"):
        text = _decoded(data[: len(data) // 2 * 2], encoding)
        if text and not re.search("[\x00-\x08\x0e-\x1f\ufffe\uffff\ue000-\uf8ff]", text):
            found[encoding] = sum(text.count(sign) for sign in ",;\t\n\r ")
    best = max(found, key=lambda name: found[name], default=None)
    return best if best is not None and found[best] else None


def _log_probabilities(alphabet: str) -> Mapping[str, float]:
    """By Zipf's law: the letter at place r has a share in proportion to 1 / (r + 2)."""
    total = sum(1 / (rank + 2) for rank in range(len(alphabet)))
    return {letter: -math.log((rank + 2) * total) for rank, letter in enumerate(alphabet)}


def _single_byte_score(data: bytes, candidate: _Candidate) -> float | None:
    """Mean log-probability of a letter beyond ASCII, less what speaks against it; None where the bytes do not fit."""
    text = _decoded(data, candidate.encoding)
    if text is None:
        return None
    strange = len(_STRANGE.findall(text))
    odd = len(_ODD.findall(text))
    words = [word for word in _LETTERS.findall(text) if not word.isascii()][:SAMPLE_WORDS]
    letters = Counter(letter.lower() for word in words for letter in word if letter > "\x7f" and not letter.isnumeric())
    count = sum(letters.values())
    if not count:
        # Signs alone, such as a dash or a curved apostrophe: the Western one has them where all of its kin have.
        return None if strange else -1.0 - 3.0 * odd
    against = 9.0 * strange + 3.0 * odd + sum(_against(word, latin=candidate.latin) for word in words)
    best = -math.inf
    for alphabet in candidate.alphabets:
        known = _log_probabilities(alphabet)
        best = max(best, sum(n * known.get(letter, -9.0) for letter, n in letters.items()))
    return (best - against) / (count + strange)


def _against(word: str, *, latin: bool) -> float:
    """What speaks against a word: scripts that are mixed, capitals in the middle, or no plain letter in it."""
    found = 0.0
    ascii_letters = sum(letter < "\x80" for letter in word)
    if latin:
        # Of Latin letters those with marks are the fewer ones.
        found += 2.0 * max(0, len(word) - ascii_letters - max(1, ascii_letters))
    elif ascii_letters:
        found += 5.0 * min(ascii_letters, len(word) - ascii_letters)
    if not word.isupper():
        found += 2.0 * sum(letter.isupper() for letter in word[1:] if letter > "\x7f")
    elif len(word) > 1:
        found += 0.7 * (len(word) - ascii_letters)
    return found


def _east_asian_shares(data: bytes) -> dict[str, dict[str, float]]:
    """By each encoding under which the bytes are text, the shares of kinds of signs."""
    decoded = {name: _decoded(data, name) for name in (*_JAPANESE, *_KOREAN, *_CHINESE)}
    return {name: _shares(text) for name, text in decoded.items() if text is not None}


def _east_asian(shares: Mapping[str, Mapping[str, float]], *, sure: bool) -> str | None:
    """By kinds of signs; `sure` where the text of another script would not have so many of them."""
    japanese = {name: shares[name]["kana"] - shares[name]["strange"] for name in _JAPANESE if name in shares}
    best = max(japanese, key=lambda name: japanese[name], default=None)
    if best is not None and japanese[best] >= (0.3 if sure else 0.15):
        return best
    # Without its extension, whose characters may end in an ASCII letter, Korean is hard to mistake.
    korean = "euc_kr" if sure else "cp949"
    if korean in shares and shares[korean]["hangul"] >= (0.95 if sure else 0.85):
        return "cp949"
    chinese = {name: shares[name]["usual"] - shares[name]["strange"] for name in _CHINESE if name in shares}
    best = max(chinese, key=lambda name: chinese[name], default=None)
    if best is None or shares[best]["han"] < (0.9 if sure else 0.7):
        return None
    return best if not sure or chinese[best] >= 0.12 else None


def _shares(text: str) -> dict[str, float]:
    """How many signs lie beyond ASCII, and of them the shares of some kinds."""
    signs = Counter(_HIGH.findall(text))
    count = sum(signs.values())
    total = max(1, count)

    def share(*spans: tuple[str, str]) -> float:
        return sum(n for sign, n in signs.items() if any(a <= sign <= b for a, b in spans)) / total

    return {
        "signs": count,
        "kana": share(("\u3041", "\u30fe")),
        "hangul": share(("\uac00", "\ud7a3")),
        "han": share(("\u4e00", "\u9fff"), ("\u3000", "\u303f"), ("\uff00", "\uff5e")),
        "usual": sum(n for sign, n in signs.items() if sign in _USUAL_CHINESE) / total,
        # Half-width kana, private use, rare ideographs: what bytes of another encoding become.
        "strange": share(("\uff61", "\uff9f"), ("\ue000", "\uf8ff"), ("\u3400", "\u4dbf"), ("\x80", "\xff")),
    }

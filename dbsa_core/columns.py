"""Which columns of a table hold the texts and the labels, guessed by name and content or as the user says.

Knows nothing about rows that are left out, nor about pools.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dbsa_core.cells import CODED, FLOAT, clean_text, quoted
from dbsa_core.errors import DataError
from dbsa_core.formats import shortened
from dbsa_core.tables import Table

MAX_LABELS = 2_000

_LABEL_NAMES = frozenset(
    {"label", "labels", "intent", "class", "category", "target", "type", "coarse", "fine", "sentiment", "topic", "tag"}
    | {"emotion", "rating", "stars", "gold", "y", "annotation", "domain", "labelname", "classe", "klasse", "kategorie"}
    | {"categoria", "categoría", "catégorie", "etiqueta", "étiquette", "метка", "категория", "类别", "标签", "ラベル"}
)
_TEXT_NAMES = frozenset(
    {"text", "texts", "sentence", "utterance", "question", "query", "message", "content", "body", "review", "document"}
    | {"comment", "tweet", "description", "input", "prompt", "texto", "texte", "frage", "текст", "文本", "テキスト"}
)
_OTHER_NAMES = frozenset(
    {"id", "idx", "index", "uid", "guid", "uuid", "split", "fold", "lang", "language", "locale", "date", "time", "year"}
    | {"timestamp", "source", "user", "author", "annotator", "worker", "confidence", "url", "probability", "score"}
)


@dataclass(frozen=True)
class ColumnGuess:
    """The columns that seem to hold the texts and the labels."""

    text: str
    label: str
    reason: str


@dataclass(frozen=True)
class _ColumnStatistics:
    name: str
    filled: int
    distinct: int
    mean_length: float
    """Characters per cell, over a sample."""
    free_share: float
    """The share of cells that look like words of a language: with a space, or beyond ASCII."""
    number_share: float
    coded_share: float

    def words(self) -> frozenset[str]:
        split = re.sub(r"([a-z])([A-Z])", r"\1 \2", self.name)
        return frozenset(re.findall(r"[^\W\d_]+", split.lower()))


def _statistics(table: Table) -> list[_ColumnStatistics]:
    statistics = []
    for name in table.frame.columns:
        if name in table.unusable_columns:
            continue
        cells = [cell.strip() for cell in table.frame[name].tolist() if cell and not cell.isspace()]
        sample = cells[:: max(1, len(cells) // 1_000)]
        size = max(1, len(sample))
        statistics.append(
            _ColumnStatistics(
                name,
                len(cells),
                len(set(cells)),
                sum(map(len, sample)) / size,
                sum(" " in cell or not cell.isascii() for cell in sample) / size,
                sum(FLOAT.fullmatch(cell) is not None for cell in sample) / size,
                sum(CODED.fullmatch(cell) is not None for cell in sample) / size,
            )
        )
    return statistics


def guess_columns(table: Table) -> ColumnGuess:
    """The text and label columns by name and content; raises where the file leaves it open."""
    statistics = _statistics(table)
    label = _guess_label(statistics)
    text = _guess_text([column for column in statistics if column is not label])
    if label is None or text is None:
        raise DataError(_unguessed(table, label is not None))
    named = _LABEL_NAMES & label.words()
    return ColumnGuess(
        text.name,
        label.name,
        f'"{label.name}" was taken for the labels, with {label.distinct:,} distinct values in {label.filled:,} rows'
        f'{" and a name that says so" if named else ""}, and "{text.name}" for the texts, '
        f"with {text.mean_length:.0f} characters per row.",
    )


def _unguessed(table: Table, has_label: bool) -> str:
    missing = "label" if not has_label else "text"
    return (
        f'The {missing} column of "{table.source}" cannot be guessed. Name the text and the label column. '
        f"The columns are: {_columns_with_samples(table)}."
    )


def _columns_with_samples(table: Table) -> str:
    shown = []
    for name in list(table.frame.columns)[:20]:
        samples = list(dict.fromkeys(clean_text(cell) for cell in table.frame[name].tolist()[:50] if cell))[:3]
        shown.append(f'"{name}" ({", ".join(shortened(sample) for sample in samples) or "no values"})')
    more = len(table.frame.columns) - 20
    return "; ".join(shown) + (f"; and {more:,} more" if more > 0 else "")


def _guess_label(columns: Sequence[_ColumnStatistics]) -> _ColumnStatistics | None:
    best = None
    for column in columns:
        score = _label_score(column)
        if score is not None and (best is None or (score, -column.distinct) > best[0]):
            best = (score, -column.distinct), column
    return best[1] if best else None


def _label_score(column: _ColumnStatistics) -> float | None:
    """How much a column looks like labels, by name and content; None where it cannot be."""
    words = column.words()
    # A column of unique values is an id or a text, whatever its name.
    if column.distinct >= column.filled or column.distinct > MAX_LABELS or column.mean_length > 80:
        return None
    named = bool(words & _LABEL_NAMES)
    if not named:
        numbers = column.number_share > 0.5 and column.coded_share < 0.9
        if words & (_OTHER_NAMES | _TEXT_NAMES) or column.distinct < 2 or numbers:
            return None
        if column.distinct > 0.5 * column.filled:
            return None
    score = 0.0
    if named:
        score += 2 if words & _OTHER_NAMES else 4
    if len(words) == 1 and named:
        score += 1
    # Beside names, codes lose: "label" = 3 next to "label_text" = "card_arrival".
    return score - (2.5 if column.coded_share > 0.8 else 0)


def _guess_text(columns: Sequence[_ColumnStatistics]) -> _ColumnStatistics | None:
    best = None
    for column in columns:
        if not column.filled or column.number_share > 0.8:
            continue
        words = column.words()
        named = 3.0 if words & _TEXT_NAMES else 1.0
        if words & (_OTHER_NAMES | _LABEL_NAMES):
            named = 0.3
        variety = 0.2 + min(1.0, 2 * column.distinct / column.filled)
        score = column.mean_length * (0.1 + column.free_share) * variety * named
        if best is None or score > best[0]:
            best = score, column
    return best[1] if best else None


def _usable_column(table: Table, name: str) -> str:
    names = [str(column) for column in table.frame.columns]
    if name not in names:
        lowered = {other.lower(): other for other in names}
        close = difflib.get_close_matches(str(name).lower(), list(lowered), n=1)
        meant = f' Did you mean "{lowered[close[0]]}"?' if close else ""
        raise DataError(f'"{table.source}" has no column "{name}".{meant} Its columns are {quoted(names, 20)}.')
    if name in table.unusable_columns:
        raise DataError(
            f'The column "{name}" of "{table.source}" holds {table.unusable_columns[name]}; texts and labels have to '
            "be plain values. Give another column, or flatten this one."
        )
    return name


def choose_columns(table: Table, text: str | None, label: str | None) -> tuple[str, str]:
    if text is None and label is None:
        guess = guess_columns(table)
        return guess.text, guess.label
    for name in (text, label):
        if name is not None:
            _usable_column(table, name)
    if text == label:
        raise DataError(f'The column "{text}" was given for both texts and labels. Give two different columns.')
    if text is not None and label is not None:
        return text, label
    others = [column for column in _statistics(table) if column.name not in {text, label}]
    found = _guess_label(others) if label is None else _guess_text(others)
    if found is None:
        raise DataError(_unguessed(table, label is not None))
    return (text, found.name) if text is not None else (found.name, str(label))


def read_queries(table: Table, text_column: str | None = None) -> list[str]:
    """The texts of an unlabelled file, one per row of the table, cleaned as demonstrations are; missing ones are ""."""
    if text_column is not None:
        name = _usable_column(table, text_column)
    elif len(table.frame.columns) == 1:
        name = _usable_column(table, str(table.frame.columns[0]))
    else:
        found = _guess_text(_statistics(table))
        if found is None:
            raise DataError(_unguessed(table, True))
        name = found.name
    return [clean_text(cell) for cell in table.frame[name].tolist()]

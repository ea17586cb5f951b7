"""Which columns of a table hold the texts and the labels, guessed by name and content or as the user says.

Knows nothing about rows that are left out, nor about pools.
"""

import difflib
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dbsa_core.errors import DataError
from dbsa_core.files.cells import CODED, FLOAT, clean_text, quoted
from dbsa_core.files.formats import shortened
from dbsa_core.files.tables import WITH_HEADERS, Table, read_table

MAX_LABELS = 2_000

_SURE_LABEL_NAMES = frozenset(
    {"label", "labels", "intent", "class", "category", "target", "sentiment", "labelname", "classe", "klasse"}
    | {"kategorie", "categoria", "categoría", "catégorie", "etiqueta", "étiquette"}
    | {"метка", "категория", "类别", "标签", "ラベル"}
)
"""A column of this name holds the labels, however its values look."""
_LABEL_NAMES = _SURE_LABEL_NAMES | frozenset(
    {"type", "coarse", "fine", "topic", "tag", "emotion", "rating", "stars", "gold", "y", "annotation", "domain"}
)
_SORTING_NAMES = frozenset({"team", "queue", "department", "squad", "product", "abteilung", "équipe", "equipo"})
_ATTRIBUTE_NAMES = frozenset(
    {"priority", "urgency", "severity", "status", "state", "channel", "region", "country", "gender", "priorität"}
)
"""What is said of a text beside what it is about; of two columns that may be labels, those of the first names are."""
_TEXT_NAMES = frozenset(
    {"text", "texts", "sentence", "utterance", "utt", "question", "query", "message", "content", "body", "review"}
    | {"document", "answer", "ticket", "request", "title", "subject", "comment", "tweet"}
    | {"description", "input", "prompt", "texto", "texte", "frage", "текст", "文本", "テキスト"}
)
_OTHER_NAMES = frozenset(
    {"id", "idx", "index", "uid", "guid", "uuid", "split", "fold", "lang", "language", "locale", "date", "time", "year"}
    | {"timestamp", "source", "user", "author", "annotator", "worker", "confidence", "url", "probability", "score"}
)
_DERIVED_NAMES = frozenset(
    {"annot", "annotated", "annotation", "normalised", "normalized", "tokens", "tokenized", "tokenised", "lemmas"}
    | {"pos", "parsed", "parse", "slots", "entities", "suggested", "translated", "translation", "stemmed", "spans"}
)
"""Words in the names of columns that were made of another one: the texts are in that one."""
LONG_LABEL = 80
"""Mean characters of what is hardly a label, unless its column is called one."""
_SENTENCE_ENDS = (".", "?", "!", "\u3002", "\uff1f", "\uff01")
NEAR_CONSTANT = 0.1
"""Texts differ: a column of fewer different values than this share of its rows is none."""


@dataclass(frozen=True)
class ColumnGuess:
    """The columns that seem to hold the texts and the labels."""

    text: str
    label: str
    reason: str


@dataclass(frozen=True)
class ColumnUse:
    """A column of a table, and what it is to a pool."""

    name: str
    use: str
    """ "texts", "labels", or "" for one that is not used."""
    filled: int
    """Rows that have a value there."""
    distinct: int
    mean_length: float
    """Characters per cell, over a sample."""
    why: str = ""
    """Of one that is not used: why it can hardly be the labels', in a few words; "" where it could."""


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
        return name_words(self.name)

    @property
    def is_called_label(self) -> bool:
        """Whether its whole name is one of the usual ones of labels."""
        return _is_called_label(self.name)


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


def name_words(name: str) -> frozenset[str]:
    """The words of a column's name, in small letters."""
    return frozenset(re.findall(r"[^\W\d_]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))


def _is_called_label(name: str) -> bool:
    words = name_words(name)
    return len(words) == 1 and bool(words & _SURE_LABEL_NAMES)


def is_usual_name(name: str) -> bool:
    """Whether any word of it is one that names columns."""
    return bool(name_words(name) & (_LABEL_NAMES | _TEXT_NAMES | _OTHER_NAMES))


def guess_columns(table: Table) -> ColumnGuess:
    """The text and label columns by name and content; raises where the file leaves it open."""
    statistics = _statistics(table)
    label = _guess_label(statistics)
    _refuse_unusable_labels(table, label)
    text = _guess_text([column for column in statistics if column is not label])
    if label is None or text is None:
        raise DataError(_unguessed(table, "label" if label is None else "text"))
    return ColumnGuess(
        text.name,
        label.name,
        f'"{label.name}" was taken for the labels, with {label.distinct:,} distinct values in {label.filled:,} rows'
        f'{" and a name that says so" if _LABEL_NAMES & label.words() else ""}, and "{text.name}" for the texts, '
        f"with {text.mean_length:.0f} characters per row.",
    )


def explain_columns(table: Table, text: str, label: str) -> tuple[ColumnUse, ...]:
    """The columns of the labels and of the texts, and behind them all others as they stand in the table."""
    statistics, uses = {column.name: column for column in _statistics(table)}, {label: "labels", text: "texts"}
    found = []
    for name in dict.fromkeys([label, text, *map(str, table.frame.columns)]):
        if (column := statistics.get(name)) is None:
            found.append(ColumnUse(name, "", 0, 0, 0.0, table.unusable_columns[name].split(":")[0]))
            continue
        why = "" if name in uses else _why_no_label(column) or ""
        found.append(ColumnUse(name, uses.get(name, ""), column.filled, column.distinct, column.mean_length, why))
    return tuple(found)


def _refuse_unusable_labels(table: Table, label: _ColumnStatistics | None) -> None:
    """No other column takes the place of one that is called the labels' but cannot be read."""
    if label is not None and label.is_called_label:
        return
    for name in filter(_is_called_label, table.unusable_columns):
        _usable_column(table, name)


def _unguessed(table: Table, role: str) -> str:
    return (
        f'The {role} column of "{table.source}" cannot be guessed. Name the text and the label column. '
        f"The columns are: {_columns_with_samples(table, role)}."
    )


def _columns_with_samples(table: Table, role: str) -> str:
    """Each column with its first values, and why it is not what was looked for."""
    statistics = {column.name: column for column in _statistics(table)}
    shown = []
    for name in list(table.frame.columns)[:20]:
        samples = list(dict.fromkeys(clean_text(cell) for cell in table.frame[name].tolist()[:50] if cell))[:3]
        if name in statistics:
            why = _why_no_label(statistics[name]) if role == "label" else _why_no_text(statistics[name])
        else:
            why = table.unusable_columns[name].split(":")[0]
        values = ", ".join(shortened(sample) for sample in samples) or "no values"
        shown.append(f'"{name}" ({values}{f"; {why}" if why else ""})')
    more = len(table.frame.columns) - 20
    return "; ".join(shown) + (f"; and {more:,} more" if more > 0 else "")


def _why_no_label(column: _ColumnStatistics) -> str | None:
    """Why a column cannot be guessed to be the labels'; None where it can."""
    if not column.filled:
        return "empty"
    if column.distinct > MAX_LABELS:
        return f"more than {MAX_LABELS:,} different values"
    if column.is_called_label:
        return None
    if column.distinct >= column.filled:
        return "unique values"
    if column.mean_length > LONG_LABEL:
        return f"too long for labels, {column.mean_length:.0f} characters a row"
    if column.words() & _LABEL_NAMES:
        return None
    if column.distinct < 2:
        return "one value only"
    if column.number_share > 0.5 and column.coded_share < 0.9:
        return "numbers"
    if column.words() & (_OTHER_NAMES | _TEXT_NAMES):
        return "called like something else"
    return "values seldom repeat" if column.distinct > 0.5 * column.filled else None


def _why_no_text(column: _ColumnStatistics) -> str | None:
    """Why a column cannot be guessed to be the texts'; None where it can."""
    if not column.filled:
        return "empty"
    if column.number_share > 0.8:
        return "numbers"
    if column.filled > 1 and (column.distinct == 1 or (column.filled >= 20 and _share(column) < NEAR_CONSTANT)):
        return "nearly always the same"
    return None


def _share(column: _ColumnStatistics) -> float:
    return column.distinct / column.filled


def _guess_label(columns: Sequence[_ColumnStatistics]) -> _ColumnStatistics | None:
    best = None
    for column in columns:
        score = _label_score(column)
        if score is not None and (best is None or (score, -column.distinct) > best[0]):
            best = (score, -column.distinct), column
    return best[1] if best else None


def _label_score(column: _ColumnStatistics) -> float | None:
    """How much a column looks like labels, by name and content; None where it cannot be."""
    if _why_no_label(column) is not None:
        return None
    words, score = column.words(), 0.0
    score += 0.5 * bool(words & _SORTING_NAMES) - 0.5 * bool(words & _ATTRIBUTE_NAMES)
    if words & _LABEL_NAMES:
        score += 2 if words & _OTHER_NAMES else 4
    if column.is_called_label:
        score += 1
        # Texts may be called "target"; labels that repeat are better ones.
        score -= 1.5 * (column.distinct >= column.filled) + 1.0 * (column.mean_length > LONG_LABEL)
    # Beside names, codes lose: "label" = 3 next to "label_text" = "card_arrival".
    return score - (2.5 if column.coded_share > 0.8 else 0)


def _guess_text(columns: Sequence[_ColumnStatistics]) -> _ColumnStatistics | None:
    best = None
    for column in columns:
        if _why_no_text(column) is not None:
            continue
        words = column.words()
        named = 3.0 if words & _TEXT_NAMES else 1.0
        if words & (_OTHER_NAMES | _LABEL_NAMES):
            named = 0.3
        if words & _DERIVED_NAMES:
            named *= 0.2
        variety = 0.2 + min(1.0, 2 * _share(column))
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
    if label is None:
        _refuse_unusable_labels(table, found)
    if found is None:
        raise DataError(_unguessed(table, "label" if label is None else "text"))
    return (text, found.name) if text is not None else (found.name, str(label))


def read_query_table(
    path: str | os.PathLike[str], *, has_header: bool | None = None, known: Collection[str] = (), **options: Any
) -> Table:
    """A file of texts to classify, read as by `read_table` with the same options.

    With `has_header` None, a first line that is a text rather than names of columns is a row: a sentence, or several
    words in a file of one column. `known` are names that columns may have whatever they look like.
    """
    table = read_table(path, has_header=has_header is not False, **options)
    names = [str(name) for name in table.frame.columns]
    if has_header is not None or table.format not in WITH_HEADERS or set(names) & set(known) or not _is_a_text(names):
        return table
    again = read_table(path, has_header=False, **options)
    first = shortened(max(names, key=len))
    note = (
        f'The first line looks like a text ("{first}") and was taken as one. If it names the columns, say so: by "The '
        'first line holds" in the app, by --text-column in the command line.'
    )
    return replace(again, notes=(*again.notes, note))


def _is_a_text(names: Sequence[str]) -> bool:
    """Whether a line is a row of texts rather than of names."""
    longest = max(names, key=len).strip()
    words = longest.split()
    if len(words) < 4 and any(map(is_usual_name, names)):
        return False
    return len(words) >= (3 if len(names) == 1 else 4) or longest.endswith(_SENTENCE_ENDS)


def read_queries(table: Table, text_column: str | None = None) -> list[str]:
    """The texts of an unlabelled file, one per row of the table, cleaned as demonstrations are; missing ones are ""."""
    if text_column is not None:
        name = _usable_column(table, text_column)
    elif len(table.frame.columns) == 1:
        name = _usable_column(table, str(table.frame.columns[0]))
    else:
        found = _guess_text(_statistics(table))
        if found is None:
            raise DataError(_unguessed(table, "text"))
        name = found.name
    return [clean_text(cell) for cell in table.frame[name].tolist()]

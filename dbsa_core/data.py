"""Demonstrations and pools: which rows of a table become a pool, and the problems found on the way.

Knows what a label is; knows nothing about files, tokens or models.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dbsa_core.errors import DataError
from dbsa_core.files.cells import BREAKS, CODED, CONTROLS, FLOAT, ascii_quoted, clean_text, label_key, quoted
from dbsa_core.files.columns import (
    MAX_LABELS,
    ColumnGuess,
    ColumnUse,
    choose_columns,
    explain_columns,
    guess_columns,
    read_queries,
    read_query_table,
)
from dbsa_core.files.formats import as_text, describe_rows
from dbsa_core.files.formats.lists import is_nested, parsed, single
from dbsa_core.files.tables import Table

__all__ = [
    "MAX_LABELS",
    "ColumnGuess",
    "ColumnUse",
    "Demonstration",
    "Pool",
    "Problem",
    "build_pool",
    "choose_columns",
    "clean_text",
    "explain_columns",
    "guess_columns",
    "match_labels",
    "read_queries",
    "read_query_table",
]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One labelled text."""

    text: str
    label: str
    row: int
    """Data row in the user's file, the first one being 1; `TAUGHT` where it is of no file."""

    @property
    def taught(self) -> bool:
        return self.row == TAUGHT


TAUGHT = 0
"""The row of what somebody taught, one text at a time."""


@dataclass(frozen=True)
class Problem:
    """One kind of quality problem of a file, with all rows that have it."""

    kind: str
    message: str
    """A sentence for the user, with counts and the first rows."""
    rows: tuple[int, ...]
    """Data rows in the user's file; empty where the problem is that of a whole column."""
    excluded: bool
    """Whether these rows were left out of the pool."""


@dataclass(frozen=True)
class Pool:
    """Demonstrations in file order, and every candidate label in the one order that is used everywhere."""

    demonstrations: tuple[Demonstration, ...]
    labels: tuple[str, ...]
    fingerprint: str
    """SHA-256 in hex over texts, labels and their order; row numbers and file names do not enter."""
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.demonstrations)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(demonstration.text for demonstration in self.demonstrations)

    @classmethod
    def of(
        cls,
        items: Iterable[Demonstration | tuple[str, str]],
        labels: Iterable[str] | None = None,
        problems: Iterable[Problem] = (),
    ) -> "Pool":
        """A pool of (text, label) pairs, numbered from 1, or of demonstrations; `labels` may add candidates."""
        demonstrations = tuple(_demonstration(item, row) for row, item in enumerate(items, 1))
        used = {demonstration.label for demonstration in demonstrations}
        candidates = used if labels is None else set(labels)
        if not used <= candidates:
            raise DataError(
                f"The labels {quoted(sorted(used - candidates))} occur in the demonstrations but not among the labels "
                "given. Add them, or leave the labels out to have them collected."
            )
        ordered = tuple(sorted(candidates))
        return cls(demonstrations, ordered, fingerprint_of(demonstrations, ordered), tuple(problems))


def _demonstration(item: Demonstration | tuple[str, str], row: int) -> Demonstration:
    if isinstance(item, Demonstration):
        return item
    pair = tuple(item) if isinstance(item, tuple | list) else ()
    if len(pair) != 2 or not all(isinstance(part, str) and part.strip() for part in pair):
        raise DataError(f"Item {row} is {item!r:.80}; give a Demonstration or a (text, label) pair of filled texts.")
    return Demonstration(pair[0], pair[1], row)


def fingerprint_of(demonstrations: Iterable[Demonstration], labels: Iterable[str]) -> str:
    """See `Pool.fingerprint`."""
    # JSON keeps the parts apart: ("a b", "c") and ("a", "b c") must differ.
    parts = [[[demonstration.text, demonstration.label] for demonstration in demonstrations], list(labels)]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()


def build_pool(
    table: Table,
    text_column: str | None = None,
    label_column: str | None = None,
    *,
    label_names: Mapping[str, str] | None = None,
    drop_duplicates: bool = True,
    exclude_rows: Collection[int] = (),
) -> Pool:
    """The pool of a table's rows, with every problem found on the way.

    `label_names` gives coded labels their names; `exclude_rows` leaves out rows of the file by number. The candidate
    labels are those of the pool's rows.
    """
    text_column, label_column = choose_columns(table, text_column, label_column)
    rows, problems = _clean_rows(table, text_column, label_column, frozenset(exclude_rows))
    rows, nested = _without_lists(rows, label_column)
    rows, joined = _join_spellings(rows)
    problems += nested + joined
    if label_names is not None:
        rows, merged = _rename(rows, label_names)
        problems += merged
    labels = {row.label for row in rows if row.label}
    _check_labels(labels, rows, label_column)
    problems += _empty_rows(rows) + _lone_labels(rows)
    rows = [row for row in rows if row.text and row.label]
    labels = {row.label for row in rows}
    _require_classes(labels, len(rows), label_column, table.source)
    rows, duplicates = _without_duplicates(rows, drop_duplicates)
    problems += duplicates + _conflicts(rows) + _label_problems(rows, labels, label_column, label_names is not None)
    return Pool.of(rows, labels, problems)


def _clean_rows(
    table: Table, text_column: str, label_column: str, exclude: frozenset[int]
) -> tuple[list[Demonstration], list[Problem]]:
    texts, labels = table.frame[text_column].tolist(), table.frame[label_column].tolist()
    rows, breaks, controls = [], [], []
    for row, text, label in zip(table.row_numbers, texts, labels, strict=True):
        if row in exclude:
            continue
        demonstration = Demonstration(clean_text(text), clean_text(label), row)
        rows.append(demonstration)
        if demonstration.text != text or demonstration.label != label:
            cells = [cell.strip() for cell in (text, label) if cell]
            if any(BREAKS.search(cell) for cell in cells):
                breaks.append(row)
            if any(CONTROLS.search(BREAKS.sub(" ", cell)) for cell in cells):
                controls.append(row)
    ragged = [row for row in table.ragged_rows if row not in exclude]
    found = [
        ("ragged_rows", "Left out because the number of fields is not the header's", ragged, True),
        ("newlines", "New lines or tabs inside of a cell became one space", breaks, False),
        ("control_characters", "Control or invisible characters were removed", controls, False),
    ]
    return rows, [_problem(*problem) for problem in found if problem[2]]


def _without_lists(rows: list[Demonstration], column: str) -> tuple[list[Demonstration], list[Problem]]:
    """Labels written as lists: one of a single value is that value; rows with several are left out, or refused where
    they are the most."""
    kept, several, example = [], [], ""
    for row in rows:
        if (found := parsed(row.label)) is None:
            kept.append(row)
        elif is_nested(value := single(found)):
            several.append(row.row)
            example = example or row.label
        else:
            kept.append(replace(row, label=clean_text(as_text(value))))
    if not several:
        return kept, []
    if 2 * len(several) > len([row for row in rows if row.label]):
        raise DataError(
            f'The labels in "{column}" are lists of several values or objects, first in row {several[0]} '
            f"({quoted([example])}). Give one label per row, as plain text."
        )
    message = f"Left out because the label is a list of several values or an object, such as {quoted([example])}"
    return kept, [_problem("list_label", message, several, True)]


def _join_spellings(rows: list[Demonstration]) -> tuple[list[Demonstration], list[Problem]]:
    """Spellings of a label that a reader would not tell apart become one: the plain one, or else the most frequent."""
    spellings: dict[str, dict[str, int]] = defaultdict(dict)
    for label, count in Counter(row.label for row in rows if row.label).items():
        spellings[label_key(label)][label] = count
    chosen: dict[str, str] = {}
    for key, counts in spellings.items():
        if len(counts) > 1:
            spelling = key if key in counts else min(counts, key=lambda label: (-counts[label], label))
            chosen |= {label: spelling for label in counts if label != spelling}
    changed = [row for row in rows if row.label in chosen]
    if not changed:
        return rows, []
    shown = "; ".join(f"{ascii_quoted(label)} to {ascii_quoted(chosen[label])}" for label in sorted(chosen)[:5])
    message = f"Labels that differ by marks without a shape, white space or number format only were joined ({shown})"
    problem = _problem("joined_labels", message, [row.row for row in changed], False)
    return [replace(row, label=chosen.get(row.label, row.label)) for row in rows], [problem]


def match_labels(labels: Sequence[str], known: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Labels as the known ones are spelled, and what was changed: where only case, white space, underscores or the
    format of a number differ, and exactly one known label fits."""

    def loose(label: str) -> str:
        return label_key(label.replace("_", " ")).casefold()

    fitting = defaultdict(list)
    for label in known:
        fitting[loose(label)].append(label)
    own, matched = set(known), {}
    for label in sorted(set(labels) - own):
        if len(found := fitting[loose(label)]) == 1:
            matched[label] = found[0]
    return [matched.get(label, label) for label in labels], matched


def _problem(kind: str, message: str, rows: Sequence[int], excluded: bool) -> Problem:
    return Problem(kind, f"{message}: {describe_rows(rows)}.", tuple(rows), excluded)


def _empty_rows(rows: Sequence[Demonstration]) -> list[Problem]:
    texts = [row.row for row in rows if not row.text]
    labels = [row.row for row in rows if row.text and not row.label]
    found = []
    if texts:
        found.append(_problem("empty_text", "Left out for an empty text", texts, True))
    if labels:
        found.append(_problem("empty_label", "Left out for an empty label", labels, True))
    return found


def _lone_labels(rows: Sequence[Demonstration]) -> list[Problem]:
    """Labels that only rows without a text have."""
    read = {row.label for row in rows if row.text}
    without = [row for row in rows if row.label and row.label not in read]
    if not without:
        return []
    names = sorted({row.label for row in without})
    are = "is no candidate, for it has" if len(names) == 1 else "are no candidates, for they have"
    message = f"{quoted(names)} {are} no row with a text"
    return [_problem("label_without_text", message, [row.row for row in without], False)]


def _rename(rows: list[Demonstration], names: Mapping[str, str]) -> tuple[list[Demonstration], list[Problem]]:
    given = {clean_text(str(code)): clean_text(name) if isinstance(name, str) else "" for code, name in names.items()}
    codes = {row.label for row in rows if row.label}
    missing = sorted(code for code in codes if code not in given)
    if missing:
        raise DataError(
            f"The label names lack {len(missing):,} of the {len(codes):,} labels of the file: {quoted(missing, 20)}. "
            "Give each of them a name."
        )
    unnamed = sorted(code for code in codes if not given[code])
    if unnamed:
        raise DataError(f"The label names of {quoted(unnamed)} are empty or not text. Give each label a name.")
    sources = defaultdict(list)
    for code in sorted(codes):
        sources[given[code]].append(code)
    shared = {name: group for name, group in sources.items() if len(group) > 1}
    renamed = [Demonstration(row.text, given[row.label] if row.label else "", row.row) for row in rows]
    if not shared:
        return renamed, []
    first, group = next(iter(shared.items()))
    message = f'Names given to several labels merge them: {len(shared):,}, such as "{first}" to {quoted(group)}.'
    return renamed, [Problem("merged_labels", message, (), False)]


# --- what labels may be -----------------------------------------------------------------------------------------------


def _check_labels(labels: set[str], rows: Sequence[Demonstration], column: str) -> None:
    """Refuse what cannot be the labels of a classification."""
    if _are_floats(labels) and (len(labels) > 20 or 2 * len(labels) >= len(rows)):
        raise DataError(
            f'The labels in "{column}" are {len(labels):,} different decimal numbers, such as '
            f"{quoted(sorted(labels), 2)}: that is a regression. Give a column of classes, or sort the numbers into "
            "named ranges."
        )
    if len(labels) > MAX_LABELS:
        raise DataError(
            f'The column "{column}" has {len(labels):,} different labels; accepted are up to {MAX_LABELS:,}. '
            "Check that it is not the text column, or merge rare labels."
        )
    spelled: dict[str, str] = {}
    for label in sorted(labels):
        other = spelled.setdefault(label.replace("_", " "), label)
        if other != label:
            raise DataError(
                f'The labels "{other}" and "{label}" become the same once underscores turn to spaces, as they do for '
                "the model. Spell them alike, or rename one of them."
            )


def _require_classes(labels: set[str], count: int, column: str, source: str) -> None:
    if count == 0:
        raise DataError(f'No row of "{source}" has both a text and a label in "{column}". Check the columns.')
    if len(labels) < 2:
        raise DataError(
            f'All {count:,} labelled rows have one class, {quoted(sorted(labels))} in "{column}". Classification '
            "needs at least two; give a file with more classes, or another column."
        )


def _are_floats(labels: Collection[str]) -> bool:
    """Whether all labels are numbers and some are not whole."""
    if not labels or not all(FLOAT.fullmatch(label) for label in labels):
        return False
    return any(not float(label.replace(",", ".")).is_integer() for label in labels)


def _without_duplicates(rows: list[Demonstration], drop: bool) -> tuple[list[Demonstration], list[Problem]]:
    seen: set[tuple[str, str]] = set()
    kept: list[Demonstration] = []
    repeated: list[Demonstration] = []
    for row in rows:
        pair = (row.text, row.label)
        (repeated if pair in seen else kept).append(row)
        seen.add(pair)
    if not repeated:
        return rows, []
    message = f"{'Left out' if drop else 'Kept'} as repeats of an earlier text and label"
    problem = _problem("duplicate", message, [row.row for row in repeated], drop)
    return (kept if drop else rows), [problem]


def _conflicts(rows: Sequence[Demonstration]) -> list[Problem]:
    first_labels: dict[str, str] = {}
    conflicting = {row.text for row in rows if first_labels.setdefault(row.text, row.label) != row.label}
    if not conflicting:
        return []
    numbers = [row.row for row in rows if row.text in conflicting]
    message = f"Texts with more than one label ({len(conflicting):,} in all) were kept with each of them"
    return [_problem("conflicting_labels", message, numbers, False)]


def _label_problems(rows: Sequence[Demonstration], labels: set[str], column: str, renamed: bool) -> list[Problem]:
    """What is accepted but worth a look."""
    found = _variants(rows, labels)
    coded = sum(CODED.fullmatch(label) is not None for label in labels)
    if _are_floats(labels):
        message = f'The labels in "{column}" are decimal numbers, {quoted(sorted(labels))}; each is taken as a class.'
        found.append(Problem("float_labels", message, (), False))
    elif coded >= 0.8 * len(labels) and not renamed:
        message = (
            f'The labels in "{column}" are codes, such as {quoted(sorted(labels), 3)}, whose names tell the model '
            "nothing. Give them names for better predictions: on the Data tab, by --label-names in the command line, "
            "by label_names in Python."
        )
        found.append(Problem("coded_labels", message, (), False))
    counts = Counter(row.label for row in rows)
    alone = [row.row for row in rows if counts[row.label] == 1]
    if alone:
        found.append(_problem("single_example_label", "Labels with a single example", alone, False))
    return found


def _variants(rows: Sequence[Demonstration], labels: set[str]) -> list[Problem]:
    groups = defaultdict(list)
    for label in sorted(labels):
        groups[" ".join(label.replace("_", " ").split()).casefold()].append(label)
    variants = [group for group in groups.values() if len(group) > 1]
    if not variants:
        return []
    members = {label for group in variants for label in group}
    shown = "; ".join(quoted(group) for group in variants[:5]) + ("; ..." if len(variants) > 5 else "")
    numbers = [row.row for row in rows if row.label in members]
    message = f"Labels that differ only by case or spacing ({shown}) count as different"
    return [_problem("label_variants", message, numbers, False)]

"""A session's data: a file, the columns that are used, names that were given to labels, and rows that were left out.

Knows nothing about sessions. Nothing in it is changed in place; the file stays as it came.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dbsa_core.data import Demonstration, Pool, build_pool, choose_columns
from dbsa_core.files.tables import Table


@dataclass(frozen=True, eq=False)
class Data:
    """A file, its columns and the pool that they make."""

    table: Table
    text_column: str
    label_column: str
    pool: Pool
    name: str
    label_names: Mapping[str, str] = field(default_factory=dict)
    """Every label as it stands in the file, and as it is called."""
    excluded: tuple[int, ...] = ()
    """Rows that somebody left out, by their numbers in the file, in order."""

    @classmethod
    def of(
        cls,
        table: Table,
        text: str | None = None,
        label: str | None = None,
        *,
        names: Mapping[str, str],
        excluded: Collection[int] = (),
    ) -> Data:
        """The table's pool; columns are guessed where they are None, labels without a name keep theirs."""
        text, label = choose_columns(table, text, label)
        without = sorted({*excluded} & {*table.row_numbers, *table.ragged_rows})
        pool = build_pool(table, text, label, exclude_rows=without)
        called = {own: names.get(own, own) for own in pool.labels}
        if any(own != name for own, name in called.items()):
            pool = build_pool(table, text, label, label_names=called, exclude_rows=without)
        # What only rows that are left out have keeps its name, for when they are taken back.
        called |= {own: name for own, name in names.items() if own not in called}
        return cls(table, text, label, pool, table.source, called, tuple(without))

    def same_columns(self, other: Data) -> bool:
        """Whether it is of the same columns of the same file, though labels may be called otherwise."""
        columns = (self.text_column, self.label_column)
        return self.table is other.table and columns == (other.text_column, other.label_column)

    @property
    def renamed(self) -> bool:
        """Whether any label is called otherwise than in the file."""
        return any(own != name for own, name in self.label_names.items())

    def in_file(self, label: str) -> str:
        """A label as it stands in the file; one that does not, as it is."""
        return next((own for own, name in self.label_names.items() if name == label), label)

    def named_as(self, before: Data, lessons: Sequence[Demonstration]) -> list[Demonstration]:
        """What was taught beside `before`, of the same columns, with labels as they are called here."""
        own = [before.in_file(lesson.label) for lesson in lessons]
        return [replace(row, label=self.label_names.get(name, name)) for row, name in zip(lessons, own, strict=True)]

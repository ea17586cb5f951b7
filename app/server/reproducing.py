"""An evaluation as a program: the same in Python, over the endpoints by curl, and as options of the command line.

Knows nothing about how it is carried out. Files are called what the user's are; tests run what is written here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from app.server.data import Data
from app.server.evaluated import Wanted
from app.server.models import AS_SAVED, EMBEDDED, parted
from dbsa_core.data import Demonstration
from dbsa_core.files.tables import Table
from dbsa_core.prompt import PromptTemplate
from dbsa_core.settings import EncodeSettings, QuerySettings

if TYPE_CHECKING:
    from dbsa_core.tested import Tested

HERE = "http://localhost:7860/"
"""Stands for the page's own address, which the browser puts in its place."""
_CALLS = rf"""APP={HERE}gradio_api
call() {{
  local id=$(curl -s $APP/call/$1 -H "Content-Type: application/json" \
    -d "{{\"data\": $2, \"session_hash\": \"mine\"}}" | cut -d'"' -f4)
  curl -sN $APP/call/$1/$id | grep '^data: [^n]'
}}
file() {{
  echo "{{\"path\": $(curl -s $APP/upload -F "files=@$1" | tr -d '[]'), \"meta\": {{\"_type\": \"gradio.FileData\"}}}}"
}}"""


@dataclass(frozen=True)
class Recipe:
    """All that an evaluation is made of."""

    data: Data
    is_example: bool
    """Whether these are the bundled example."""
    model: str
    """Its source."""
    template: PromptTemplate
    encode: EncodeSettings
    """With the tokens of the plan."""
    taught: tuple[Demonstration, ...]
    query: QuerySettings
    methods: tuple[str, ...]
    out_of_scope: str | None
    declared: bool
    """Whether somebody said that; else it is told by its name."""
    wanted: Wanted
    test: Table | None = None
    """The test file, where it is of one."""
    tested: Tested | None = None
    """How that was read."""

    @property
    def curated(self) -> bool:
        """Whether the data are not simply those of a file: labels have names, or rows were left out."""
        return self.data.renamed or bool(self.data.excluded)

    @property
    def appended(self) -> bool:
        """Whether the data are not those of one file."""
        return self.data.name != self.data.table.source and not self.is_example


def programs_of(recipe: Recipe) -> dict[str, str]:
    """By what each is written for; why there is none by curl stands in its place, as a comment."""
    lacks = ", ".join(_not_by_curl(recipe))
    curl = f"# The endpoints do not take {lacks}; use Python." if lacks else "\n".join(_curl(recipe))
    return {"Python": "\n".join(_python(recipe)) + "\n", "curl": f"{curl}\n"}


def options_of(recipe: Recipe) -> dict[str, Any]:
    """What `evaluate --run` of the command line takes, called where the files are; nothing where that cannot say what
    the data are."""
    if recipe.curated or recipe.appended or recipe.taught:
        return {}
    place, weights = parted(recipe.model)
    label, what = recipe.out_of_scope, recipe.wanted
    plain: dict[str, Any] = {
        **asdict(recipe.query),
        **asdict(recipe.encode),  # whose seed is the other's too
        "methods": [",".join(recipe.methods)],
        "model": place,
        "weights": weights,
        "text_prefix": recipe.template.text_prefix,
        "label_prefix": recipe.template.label_prefix,
        "reject": what.reject,
        **({"no_out_of_scope": True} if label is None else {"out_of_scope": label}),
    }
    if not recipe.is_example:
        own = {"text_column": recipe.data.text_column, "label_column": recipe.data.label_column}
        plain |= {"data": recipe.data.table.source, **own, **_how(recipe.data.table)}
    if recipe.test is None:
        return plain | {"hold_out": what.hold_out, "hold_out_seed": what.seed}
    how = {f"test_{name}": value for name, value in _how(recipe.test).items()}
    return plain | {"test": recipe.test.source, **how}


def _how(table: Table) -> dict[str, Any]:
    """How a file was read, where it is not the usual way."""
    how = {"delimiter": table.delimiter, "encoding": table.encoding, "sheet": table.sheet}
    usual = {"delimiter": ",", "encoding": "utf-8", "sheet": table.sheets[0] if table.sheets else None}
    return {name: value for name, value in how.items() if value not in (None, usual[name])}


# --- Python -----------------------------------------------------------------------------------------------------------


def _python(recipe: Recipe) -> Iterator[str]:
    data, what, tested = recipe.data, recipe.wanted, recipe.tested
    yield "from pathlib import Path\n\nimport dbsa_core as dbsa"
    if recipe.is_example:
        yield "from dbsa_core.example import example_file"
    yield "from dbsa_core.tested import read_tested" if tested else "from dbsa_core.validation import draw_validation"
    yield ""
    if recipe.appended:
        yield "# Rows of a second file were appended here; join the files first."
    file = 'example_file("train.csv")' if recipe.is_example else _written(data.table.source)
    columns = f"{_written(data.text_column)}, {_written(data.label_column)}"
    names = f", label_names={dict(data.label_names)!r}" if data.renamed else ""
    without = f", exclude_rows={list(data.excluded)!r}" if data.excluded else ""
    yield f"pool = dbsa.build_pool({_read(data.table, file)}, {columns}{names}{without})"
    place, weights = parted(recipe.model)
    yield f"model = dbsa.LanguageModel.load({_written(place)}{'' if weights == AS_SAVED else f', weights={weights!r}'})"
    words = "" if recipe.template == PromptTemplate() else f", {_call('PromptTemplate', recipe.template)}"
    yield f"task = dbsa.Task(model, pool{words})"
    yield f"setup = dbsa.Setup.of(task, {_call('EncodeSettings', recipe.encode)})"
    for lesson in recipe.taught:
        yield f"setup = setup.teach({_written(lesson.text)}, {_written(lesson.label)})"
    if tested is None or recipe.test is None:
        yield f"drawn = draw_validation(setup, rows={what.hold_out}, seed={what.seed})"
        yield "setup, test = drawn.setup, drawn.demonstrations"
    else:
        own = f"{_written(tested.text_column)}, {_written(tested.label_column)}{names}"
        table = _read(recipe.test, _written(recipe.test.source))
        yield f"test = read_tested({table}, pool.labels, {own}).demonstrations"
    yield f"settings = {_call('QuerySettings', recipe.query)}"
    yield f"methods = [dbsa.make_method(name, settings) for name in [{', '.join(map(_written, recipe.methods))}]]"
    given = [f"out_of_scope={_written(recipe.out_of_scope)}"] if recipe.out_of_scope is not None else []
    given += ["reject=True"] if what.reject else []
    yield f"for found in dbsa.evaluate({', '.join(['methods, setup, test', *given])}, folder=Path('evaluation')):"
    yield "    print(found.title, found.accuracy_estimate)"


def _read(table: Table, file: str) -> str:
    return f"dbsa.read_table({', '.join([file, *(f'{name}={value!r}' for name, value in _how(table).items())])})"


def _call(name: str, value: Any) -> str:
    """A settings object, by what differs from its defaults."""
    usual = {field.name: field.default for field in fields(value)}
    given = (f"{field}={_written(one)}" for field, one in asdict(value).items() if one != usual[field])
    return f"dbsa.{name}({', '.join(given)})"


def _written(value: Any) -> str:
    """As Python writes it, a text in double quotes."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


# --- curl -------------------------------------------------------------------------------------------------------------


def _not_by_curl(recipe: Recipe) -> Iterator[str]:
    usual, query, encode, ours = QuerySettings(), recipe.query, recipe.encode, EncodeSettings()
    if recipe.model != EMBEDDED:
        yield "another model"
    if recipe.data.renamed:
        yield "names of labels"
    if recipe.data.excluded:
        yield "rows to leave out"
    if recipe.appended or recipe.taught:
        yield "further rows"
    if _how(recipe.data.table) or (recipe.test is not None and _how(recipe.test)):
        yield "how a file is read"
    if recipe.template != PromptTemplate():
        yield "words around texts and labels"
    names = ("retriever", "row_retriever", "embedder", "votes", "vote_weight", "order", "decode", "seed")
    if any(getattr(query, name) != getattr(usual, name) for name in names):
        yield "retrievers, votes, order, decoding or seed"
    if any(getattr(encode, name) != getattr(ours, name) for name in ("positions", "long_rows")):
        yield "positions, or what becomes of long rows"


def _curl(recipe: Recipe) -> Iterator[str]:
    data, encode, what = recipe.data, recipe.encode, recipe.wanted
    yield "# The session_hash is yours to choose: calls with the same one share a session."
    yield _CALLS
    if not recipe.is_example:
        yield _with_file("load_data", data.table.source, data.text_column, data.label_column)
    yield _plain_call("plan", encode.pool_tokens, encode.block_size, encode.window, encode.sink_blocks,
                      encode.pool_precision)  # fmt: skip
    yield _plain_call("encode")
    if recipe.declared:
        yield _plain_call("reject", False, recipe.out_of_scope or "", None)
    if recipe.test is not None and recipe.tested is not None:
        yield _with_file("load_test", recipe.test.source, recipe.tested.text_column, recipe.tested.label_column)
    held_out = None if recipe.test is not None else what.hold_out
    query = recipe.query
    yield _plain_call("evaluate", ",".join(recipe.methods), query.ratio, query.fresh_demonstrations, held_out,
                      what.seed, what.reject)  # fmt: skip


def _plain_call(name: str, *values: Any) -> str:
    return f"call {name} {_in_shell(json.dumps(list(values), ensure_ascii=False))}"


def _with_file(name: str, file: str, *values: Any) -> str:
    rest = "".join(f", {json.dumps(value, ensure_ascii=False)}" for value in values)
    return f'call {name} "[$(file {_in_shell(file)})"{_in_shell(f"{rest}]")}'


def _in_shell(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"

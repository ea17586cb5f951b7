"""A file's rows with their answers as an HTML table, each label with a form that teaches the right one.

Pure functions; every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from app.ask.label import check_tag
from app.rows.look import ROWS_A_PAGE, Look, first_shown, look_button, turning
from app.server.batch import Classified, RowAnswer
from app.views import breakable, muted, view
from app.words import whole_percent
from dbsa_core.files.tables import shortened

CELL_LENGTH, OTHER_LENGTH = 240, 60
"""Characters of a text, and of another cell of the user's, that are shown."""
OWN_COLUMNS = 6
"""Of the user's columns, the most that are shown; the column of texts is one of them."""
OFFERED_LABELS = 300
"""In the list to choose from; others can be typed."""

CSS = """
.dbsa-rowbar { display: flex; flex-wrap: wrap; gap: 0.35rem 0.4rem; align-items: center; margin: 0.4rem 0 0.5rem; }
.dbsa-rowbar > span:empty { flex: 1; }
.dbsa-rowbar > .dbsa-at { white-space: nowrap; }
.dbsa button.dbsa-look[data-event] { border-radius: 999px; }
.dbsa button.dbsa-look[aria-pressed="true"] { background: var(--dbsa-chip); color: var(--dbsa-chip-text);
  border-color: var(--dbsa-info-line); }
.dbsa button.dbsa-look:disabled { opacity: 0.45; cursor: default; }
.dbsa table.dbsa-rows.dbsa-file :is(td, th) { vertical-align: top; overflow-wrap: break-word; }
.dbsa table.dbsa-rows.dbsa-file td { min-width: 0; max-width: 26rem; }
.dbsa table.dbsa-rows.dbsa-file td.dbsa-text { min-width: 14rem; overflow-wrap: anywhere; }
.dbsa table.dbsa-rows.dbsa-answers :is(td, th).dbsa-ours { background: var(--dbsa-soft); }
.dbsa table.dbsa-rows.dbsa-file td.dbsa-number { text-align: right; white-space: nowrap; }
.dbsa-wrong .dbsa-fix > summary { text-decoration: underline wavy var(--dbsa-warning-line) 1px;
  text-underline-offset: 0.25em; }
.dbsa-fix > summary { cursor: pointer; font-weight: 600; list-style: none; padding: 0; margin: 0;
  line-height: inherit; }
.dbsa-fix > summary::-webkit-details-marker { display: none; }
.dbsa-fix > summary::after { content: "\\00a0▾"; font-weight: 400; color: var(--dbsa-muted); }
.dbsa-fix > div { display: flex; gap: 0.3rem; margin: 0.3rem 0; }
.dbsa-fix input { width: 11.5rem; min-width: 0; padding: 0.15rem 0.4rem; font-size: 0.85rem; border-radius: 4px;
  border: 1px solid var(--input-border-color); background: var(--input-background-fill);
  color: var(--body-text-color); }
@media (max-width: 760px) {
  .dbsa table.dbsa-file :is(.dbsa-other, .dbsa-next-label) { display: none; }
  .dbsa table.dbsa-rows.dbsa-file td.dbsa-text { min-width: 9rem; }
  .dbsa table.dbsa-rows.dbsa-file :is(td, th) { padding: 0.3rem 0.4rem; }
}
"""


def rows_view(found: Classified, look: Look, labels: Sequence[str]) -> str:
    """One page of the rows that were reached; "" where there are none. `labels`: to choose the right one from."""
    answers = found.answers()
    if not answers:
        return ""
    chosen = look.rows(answers)
    first = first_shown(look, len(chosen))
    shown = chosen[first : first + ROWS_A_PAGE]
    offered = "".join(f'<option value="{escape(label)}"></option>' for label in labels[:OFFERED_LABELS])
    table = _table(found, answers, shown) if shown else muted("No row.")
    return view(
        "filerows",
        '<h3 id="file-rows">Rows with their answers</h3>',
        _bar(look, answers, len(chosen)),
        f'<datalist id="file-labels">{offered}</datalist>',
        table,
    )


def _bar(look: Look, answers: Sequence[RowAnswer], chosen: int) -> str:
    """What is shown, in which order, and the way to the pages around it."""
    need = sum(answer.needs_a_look for answer in answers)
    buttons = [
        look_button(f"All {len(answers):,}", look.to(show="all", label=""), pressed=look.show == "all"),
        look_button(f"Need a look {need:,}", look.to(show="look", label=""), pressed=look.show == "look"),
    ]
    if look.show == "label":
        buttons.append(look_button(f"{shortened(look.label)} {chosen:,}", look, pressed=True))
    buttons += [
        "<span></span>",
        look_button("File's order", look.to(worst_first=False), pressed=not look.worst_first),
        look_button("Least certain first", look.to(worst_first=True), pressed=look.worst_first),
    ]
    return f'<div class="dbsa-rowbar">{"".join([*buttons, *turning(look, chosen)])}</div>'


def _table(found: Classified, answers: Sequence[RowAnswer], shown: Sequence[int]) -> str:
    own = _own_columns(found)
    heads = ['<th scope="col">Row</th>']
    heads += [f'<th scope="col" class="{_kind(name, found)}">{escape(shortened(name))}</th>' for name in own]
    heads += [f'<th scope="col" class="dbsa-ours">{name}</th>' for name in ("label", "check", "probability")]
    heads.append('<th scope="col" class="dbsa-ours dbsa-next-label">runner-up</th>')
    body = "".join(f"<tr>{''.join(_row(found, answers[place], place, own))}</tr>" for place in shown)
    head = f"<thead><tr>{''.join(heads)}</tr></thead>"
    table = f'<table class="dbsa-table dbsa-rows dbsa-file dbsa-answers">{head}<tbody>{body}</tbody></table>'
    named = 'role="region" aria-labelledby="file-rows" tabindex="0"'
    return f'<div class="dbsa-scroll" {named}>{table}</div>'


def _own_columns(found: Classified) -> list[str]:
    """The user's columns as they stand, the column of texts among them."""
    names, text = list(map(str, found.rows.table.frame.columns)), found.rows.column
    if len(names) <= OWN_COLUMNS:
        return names
    shown = names[:OWN_COLUMNS]
    return shown if text in shown else [*shown[:-1], text]


def _kind(name: str, found: Classified) -> str:
    return "dbsa-text" if name == found.rows.column else "dbsa-other"


def _row(found: Classified, answer: RowAnswer, place: int, own: Sequence[str]) -> Iterator[str]:
    table = found.rows.table
    yield f'<th scope="row">{table.row_numbers[place]:,}</th>'
    for name in own:
        cell = table.frame[name].iat[place]
        length = CELL_LENGTH if name == found.rows.column else OTHER_LENGTH
        yield f'<td class="{_kind(name, found)}">{breakable(shortened(cell or "", length))}</td>'
    gold = found.rows.gold[place] if found.rows.gold else ""
    wrong = bool(gold) and answer.label != gold
    right = f'<p class="dbsa-muted">right: {breakable(gold)}</p>' if wrong else ""
    yield f'<td class="dbsa-ours{" dbsa-wrong" if wrong else ""}">{_label(found, answer, place)}{right}</td>'
    probability = "" if answer.probability is None else whole_percent(answer.probability)
    yield f'<td class="dbsa-ours">{check_tag(answer.check or "")}{muted(answer.problem) if answer.problem else ""}</td>'
    yield f'<td class="dbsa-ours dbsa-number">{probability}</td>'
    yield f'<td class="dbsa-ours dbsa-next-label">{breakable(answer.runner_up or "")}</td>'


def _label(found: Classified, answer: RowAnswer, place: int) -> str:
    """The label, which opens a form for another; plain where the row has no text to teach."""
    if not found.rows.texts[place]:
        return ""
    name = f"Right label of row {found.rows.table.row_numbers[place]}"
    field = (
        f'<input type="text" list="file-labels" id="right-{place}" autocomplete="off" aria-label="{name}" '
        'placeholder="Right label, or a new one" data-enter="submit">'
    )
    form = f'<div>{field}<button type="button" data-event="submit">Teach</button></div>'
    shown = breakable(answer.label or "choose")
    about = f'class="dbsa-fix" data-keep="row {place}" data-about="{place}"'
    return f"<details {about}><summary>{shown}</summary>{form}</details>"

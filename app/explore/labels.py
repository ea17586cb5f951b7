"""All labels with their rows, as HTML: a press shows a label's rows, and those that are ticked get a name, or one for
all of them.

Pure functions; every piece of user text goes through `html.escape`.
"""

from __future__ import annotations

from collections import defaultdict
from html import escape

from app.rows.look import leads_to, look_button
from app.server.data import Data
from app.server.exploring import Chosen, Filter, Press, Rows
from app.views import breakable, view
from app.words import count, shortened

LONGEST_SOURCES = 60
"""Characters of a label's names in the file."""

CSS = """
.dbsa-labels ul { max-height: 40rem; overflow-y: auto; border: 1px solid var(--border-color-primary);
  border-radius: 4px; }
.dbsa.dbsa-labels li { display: grid; grid-template-columns: 1.6rem 1fr; align-items: center;
  padding: 0 0.4rem 0 0.5rem; }
.dbsa.dbsa-labels li:has(small) { padding-bottom: 0.3rem; }
.dbsa-labels li input { margin: 0; width: 1rem; height: 1rem; accent-color: var(--dbsa-fill-best); }
.dbsa.dbsa-labels button.dbsa-of { display: grid; grid-template-columns: minmax(6rem, 52%) 1fr 5.2rem; gap: 0.6rem;
  align-items: center; width: 100%; border: 0; border-radius: 3px; background: none; padding: 0.2rem 0.3rem;
  font-size: 0.88rem; line-height: 1.35; text-align: left; color: inherit; }
.dbsa.dbsa-labels button.dbsa-of[aria-pressed="true"] { background: var(--dbsa-chip); color: var(--dbsa-chip-text);
  font-weight: 600; }
.dbsa.dbsa-labels button.dbsa-of:hover { background: var(--dbsa-soft); }
.dbsa.dbsa-labels button.dbsa-of[aria-pressed="true"]:hover { background: var(--dbsa-chip); }
.dbsa-labels .dbsa-track { position: relative; }
.dbsa-labels .dbsa-fill { position: absolute; inset: 0 auto 0 0; }
.dbsa-labels .dbsa-fill.dbsa-all { background: var(--dbsa-soft-blue); }
.dbsa-labels .dbsa-all + .dbsa-fill { background: var(--dbsa-fill-best); }
.dbsa-labels li small { grid-column: 2; color: var(--dbsa-muted); padding-left: 0.3rem; font-size: 0.8rem; }
.dbsa-labels .dbsa-labelhead { display: flex; flex-wrap: wrap; gap: 0.3rem 0.5rem; align-items: center;
  margin: 0.9rem 0 0.4rem; }
.dbsa-labels .dbsa-labelhead h3 { margin: 0; flex: 1; }
.dbsa-labels form { display: flex; flex-wrap: wrap; gap: 0.4rem; align-items: center; margin: 0.5rem 0 0;
  font-size: 0.88rem; }
.dbsa-labels form input { flex: 1; min-width: 8rem; padding: 0.2rem 0.45rem; font-size: 0.88rem; border-radius: 4px;
  border: 1px solid var(--input-border-color); background: var(--input-background-fill);
  color: var(--body-text-color); }
.dbsa.dbsa-labels form button { border: 1px solid var(--button-secondary-border-color); border-radius: 4px;
  background: var(--button-secondary-background-fill); color: inherit; padding: 0.2rem 0.7rem; font-size: 0.85rem;
  font-weight: 400; white-space: nowrap; cursor: pointer; }
.dbsa-labels form button:disabled { opacity: 0.55; cursor: default; }
@media (max-width: 760px) {
  .dbsa-labels ul { max-height: 17rem; }
}
"""
PICKING = """
const picked = new Set();
const boxes = () => [...element.querySelectorAll('[data-pick]')];
const form = () => element.querySelector('form');
const stand = () => {
  const there = new Set(boxes().map(one => one.dataset.pick));
  for (const label of picked) if (!there.has(label)) picked.delete(label);
  for (const one of boxes()) one.checked = picked.has(one.dataset.pick);
  if (!form()) return;
  const [field, button] = [form().querySelector('input'), form().querySelector('button')];
  button.disabled = !picked.size || !field.value.trim();
  button.textContent = picked.size > 1 ? `Merge ${picked.size} labels` : 'Rename';
};
element.addEventListener('change', event => {
  const label = event.target.dataset.pick;
  if (label === undefined) return;
  event.target.checked ? picked.add(label) : picked.delete(label);
  const field = form().querySelector('input');
  if (event.target.checked && !field.value.trim()) { field.value = label; field.select(); }
  if (!picked.size) field.value = '';
  stand();
});
element.addEventListener('input', event => { if (event.target.closest('form')) stand(); });
element.addEventListener('submit', event => {
  event.preventDefault();
  const field = form().querySelector('input');
  if (!picked.size || !field.value.trim()) return;
  [document.body.dataset.typed, document.body.dataset.about] = [field.value, JSON.stringify([...picked])];
  picked.clear();
  field.value = '';
  stand();
  trigger('submit');
});
// Arrow keys go up and down the list, of which each column is one stop of the Tab key.
const columns = ['[data-pick]', '.dbsa-of'];
let reached = [0, 0];
const rove = () => columns.forEach((column, place) => {
  const all = [...element.querySelectorAll(column)], at = Math.min(reached[place], all.length - 1);
  all.forEach((one, row) => { one.tabIndex = row === at ? 0 : -1; });
});
const where = one => columns.findIndex(column => one.matches?.(column));
element.addEventListener('focusin', event => {
  const place = where(event.target);
  if (place < 0) return;
  reached[place] = [...element.querySelectorAll(columns[place])].indexOf(event.target);
  rove();
});
element.addEventListener('keydown', event => {
  const place = where(event.target), step = {ArrowUp: -1, ArrowDown: 1}[event.key];
  if (place < 0 || !step) return;
  event.preventDefault();
  element.querySelectorAll(columns[place])[reached[place] + step]?.focus();
});
watch('value', () => { stand(); rove(); });
rove();
"""
"""For `js_on_load`: what is ticked stays so until it has its name, and is what `TYPED` is about."""


def labels_view(data: Data, rows: Rows, chosen: Chosen) -> str:
    """Every label, those with the most rows first; "by name" where the filter says so."""
    order = list(range(len(rows.labels)))
    if not chosen.filter.by_name:
        order.sort(key=lambda place: (-int(rows.counts[place]), rows.labels[place]))
    most, sources = max(1, int(chosen.label_totals.max())), _sources(data)
    items = "".join(_label(rows, chosen, place, most, sources.get(rows.labels[place], [])) for place in order)
    field = (
        '<input type="text" list="all-labels" maxlength="200" autocomplete="off" '
        'aria-label="Name of the ticked labels" placeholder="Tick labels to rename or merge them">'
    )
    options = "".join(f'<option value="{escape(label)}"></option>' for label in rows.labels)
    form = f'<form>{field}<button type="submit" disabled>Rename</button></form>'
    head = f'<h3 class="dbsa-sub">{count(len(rows.labels), "label")}</h3>'
    return view(
        "labels",
        f'<div class="dbsa-labelhead">{head}{_orders(chosen.filter)}</div>',
        f'<ul data-scroll="labels" tabindex="0" aria-label="Labels">{items}</ul>',
        form,
        f'<datalist id="all-labels">{options}</datalist>',
    )


def _orders(filter: Filter) -> str:
    named = (("Most rows first", False), ("By name", True))
    return "".join(
        look_button(text, Press({"by_name": by_name}), pressed=filter.by_name == by_name) for text, by_name in named
    )


def _label(rows: Rows, chosen: Chosen, place: int, most: int, sources: list[str]) -> str:
    label, whole, now = rows.labels[place], int(chosen.label_totals[place]), int(chosen.by_label[place])
    value = f"{now:,} of {whole:,}" if now != whole else f"{whole:,}"
    bars = f'<span class="dbsa-fill dbsa-all" style="width:{100 * whole / most:.1f}%"></span>' if now != whole else ""
    bars += f'<span class="dbsa-fill" style="width:{100 * now / most:.1f}%"></span>'
    look = leads_to(Press({"label": label}), chosen.filter.label == label)
    button = (
        f'<button type="button" class="dbsa-of" {look}><span>{breakable(label)}</span>'
        f'<span class="dbsa-track">{bars}</span><span class="dbsa-value">{value}</span></button>'
    )
    tick = f'<input type="checkbox" data-pick="{escape(label)}" aria-label="Tick {escape(label)}">'
    return f"<li>{tick}{button}{_renamed(label, sources)}</li>"


def _renamed(label: str, sources: list[str]) -> str:
    if sources in ([], [label]):
        return ""
    named = escape(shortened(", ".join(sources), LONGEST_SOURCES))
    undo = f'<button type="button" data-event="undo" value="{escape(label)}">Undo</button>'
    return f"<small>in the file: {named} {undo}</small>"


def _sources(data: Data) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for own, name in data.label_names.items():
        found[name].append(own)
    return found

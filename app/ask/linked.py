"""What links the views of an answer: a block, a similar row or the query that is pointed at or chosen in one of them is
shown in all.

An element names the parts of the context that it stands for (`data-part`), what is to be said of them (`data-said`),
and in a list the row of its part (`data-row`). What a keyboard can choose is a button (`data-link`), and arrow keys go
from one to the next within a `dbsa-roving`. `linked.js` does the rest, in the app and in a file that stands alone; a
mask says itself which of its cells is pointed at (`app.mask`). A list is sorted by its entries' places (`data-by-...`),
and an entry is opened where it stands (`data-expand`).
"""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

from app.ask.shown import ShownAnswer
from app.mask.figure import SCRIPT as MASK_SCRIPT
from app.mask.figure import whenever_shown
from app.scripts import script_of

SCRIPT = MASK_SCRIPT + script_of(Path(__file__).parent, "linked.js", "heads.js", "inside.js")
"""Makes `dbsaLinked`, `dbsaMask` of `app.mask`, `dbsaHeads` of `app.ask.heads` and `dbsaInside` of `app.ask.inside`."""
LOAD = whenever_shown("dbsaMask.refresh(); dbsaLinked.refresh(); dbsaHeads.refresh();")
"""For the `js_on_load` of a `gr.HTML` with such views."""
HINT = "Point at a block in any of these views to see it in all of them. A click keeps it, Escape lets it go."


def part_of(*keys: str) -> str:
    """Value of `data-part` for parts as the attention names them."""
    return " ".join(key.replace(" ", "-") for key in keys)


def about(answer: ShownAnswer) -> str:
    """Of one query over one pool: what is chosen stays so while this does."""
    return f"{crc32(f'{answer.query} {answer.pool.name} {answer.pool.planned}'.encode()):08x}"


def said_line() -> str:
    """Where it is said what is pointed at or chosen."""
    return (
        f'<p class="dbsa-said" data-hint="{HINT}"><span>{HINT}</span>'
        '<button type="button" data-free hidden>Let go</button></p>'
    )


CSS = """
.dbsa .dbsa-said { grid-column: 1 / -1; margin: 0; padding: 0.3rem 0.8rem; min-height: 2.1rem; border-radius: 6px;
  background: var(--dbsa-soft); font-size: 0.88rem; display: flex; gap: 0.8rem; align-items: center; }
.dbsa .dbsa-said.dbsa-kept { min-height: 3.6rem; }
@media (max-width: 1100px) {
  .dbsa .dbsa-said { min-height: 3.6rem; }
  .dbsa .dbsa-said.dbsa-kept { min-height: 4.9rem; }
}
@media (max-width: 760px) { .dbsa .dbsa-said:not(.dbsa-kept) { display: none; } }
.dbsa-said > span { flex: 1; }
.dbsa-said > button { flex: none; border: 1px solid var(--button-secondary-border-color); border-radius: 5px;
  background: var(--button-secondary-background-fill); color: var(--button-secondary-text-color);
  padding: 0 0.6rem; font-size: 0.82rem; cursor: pointer; }
.dbsa-said > button[hidden] { display: none; }
.dbsa-picture ul { pointer-events: none; }

.dbsa-sort { display: flex; flex-wrap: wrap; gap: 0.2rem 0.9rem; align-items: center; margin-bottom: 0.3rem;
  font-size: 0.82rem; color: var(--dbsa-muted); }
.dbsa-sort select { font-size: 0.82rem; padding: 0.1rem 1.6rem 0.1rem 0.5rem; border-radius: 5px;
  border: 1px solid var(--input-border-color); background-color: var(--input-background-fill);
  color: var(--body-text-color); }
.dbsa-list { position: relative; display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr));
  align-content: start; max-height: min(42rem, 85vh); overflow: auto; border: 1px solid var(--border-color-primary);
  border-radius: 8px; background: var(--block-background-fill); }
.dbsa-entry { position: relative; min-width: 0; padding: 0.3rem 0.7rem 0.4rem; cursor: pointer;
  box-shadow: 0 1px 0 var(--border-color-primary), 1px 0 0 var(--border-color-primary); }
.dbsa-entry.dbsa-open { grid-column: 1 / -1; cursor: auto; }
.dbsa-entry > header { display: flex; gap: 0.5rem; align-items: baseline; font-size: 0.8rem; }
.dbsa-entry > header > button { border: 0; background: none; padding: 0; margin: 0; font: inherit; cursor: pointer;
  color: var(--dbsa-muted); text-align: left; }
.dbsa-entry > header > [data-link] { flex: 1; min-width: 0; display: flex; gap: 0.5rem; align-items: baseline; }
.dbsa-entry > header > [data-expand] { flex: none; text-decoration: underline; white-space: nowrap; }
.dbsa-entry header b { color: var(--body-text-color); white-space: nowrap; }
.dbsa-entry header span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.dbsa-entry header .dbsa-share { margin-left: auto; flex: none; font-variant-numeric: tabular-nums; }
.dbsa-demo { padding: 0.1rem 0; display: flex; gap: 0.5rem; align-items: baseline; }
.dbsa-demo .dbsa-text { flex: 1; min-width: 0; overflow: hidden; white-space: normal; max-height: none;
  font-size: 0.87rem; line-height: 1.35; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; }
.dbsa-demo .dbsa-chip { flex: none; max-width: 45%; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.dbsa-demo .dbsa-place, .dbsa-entry:not(.dbsa-open) .dbsa-demo ~ .dbsa-demo { display: none; }
.dbsa-open .dbsa-demo { display: block; padding: 0.2rem 0.3rem; border-radius: 4px; cursor: pointer; }
.dbsa-open .dbsa-demo .dbsa-text, .dbsa-open .dbsa-demo .dbsa-chip { display: inline; white-space: pre-wrap; }
.dbsa-open .dbsa-demo .dbsa-place { display: inline; }
.dbsa-place > button { border: 0; background: none; padding: 0; margin: 0; font: inherit; color: inherit;
  cursor: pointer; text-decoration: underline dotted; }
.dbsa-entry.dbsa-pointed, .dbsa-columns li.dbsa-pointed { background: var(--dbsa-soft); }
.dbsa-entry.dbsa-chosen { background: var(--dbsa-soft); box-shadow: inset 3px 0 0 var(--dbsa-outline),
  0 1px 0 var(--border-color-primary); }
.dbsa-open .dbsa-demo.dbsa-chosen { background: var(--dbsa-info); box-shadow: inset 0 0 0 1px var(--dbsa-info-line); }
.dbsa-columns li { border-radius: 4px 4px 0 0; }
.dbsa-columns li > button { border: 0; background: none; padding: 0; margin: 0; width: 100%; height: 100%;
  font: inherit; color: inherit; cursor: pointer; display: flex; flex-direction: column; justify-content: flex-end;
  align-items: center; }
.dbsa-columns li.dbsa-chosen .dbsa-stem { background: var(--dbsa-outline); }
.dbsa-demo .dbsa-got { display: none; white-space: nowrap; margin-left: 0.5rem; font-size: 0.8rem;
  color: var(--dbsa-muted); font-variant-numeric: tabular-nums; }
.dbsa-open .dbsa-demo .dbsa-got { display: inline-flex; gap: 0.4rem; align-items: center; }
.dbsa-got b { font-weight: 500; color: inherit; }
.dbsa .dbsa-got .dbsa-track { width: 4rem; height: 0.5rem; }
.dbsa-open .dbsa-start { cursor: auto; color: var(--dbsa-muted); font-size: 0.87rem; }
.dbsa-entry:not(.dbsa-open) .dbsa-start { display: none; }
.dbsa-columns li.dbsa-chosen .dbsa-under { font-weight: 700; color: var(--body-text-color); }
"""

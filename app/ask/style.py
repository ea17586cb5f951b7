"""The style sheet of the Ask page's own views.

Colours are the variables of `app.theme`, so that they follow light and dark.
"""

CSS: str = """
#ask-row { gap: 0.6rem; align-items: stretch; }
#query textarea { font-size: 1rem; padding: 0.65rem 0.8rem; }
.dbsa-chips { gap: 0.5rem; flex-wrap: wrap; }
.dbsa-chips button { flex: none; width: auto; max-width: 100%; border-radius: 999px; font-weight: 400;
  font-size: 0.82rem; padding: 0.15rem 0.8rem; min-height: 1.7rem; white-space: normal; }

.dbsa-notice { display: flex; flex-wrap: wrap; gap: 0.4rem 0.7rem; align-items: center; padding: 0.4rem 0.8rem;
  border-radius: 6px; background: var(--dbsa-warning); font-size: 0.85rem; }
.dbsa-notice > span { flex: 1 1 18rem; }
.dbsa-notice strong { color: inherit; }
.dbsa button[data-event] { border: 1px solid var(--button-secondary-border-color); border-radius: 5px;
  background: var(--button-secondary-background-fill); color: var(--button-secondary-text-color);
  padding: 0.2rem 0.8rem; margin: 0; font-size: 0.82rem; font-weight: 500; cursor: pointer; }
.dbsa button[data-event]:hover { background: var(--button-secondary-background-fill-hover); }

.dbsa-head { position: relative; margin-bottom: 0.5rem; display: flex; gap: 0 1rem; align-items: center; }
.dbsa-head > .dbsa-notice { flex: 1; }
.dbsa .dbsa-for { position: absolute; inset: 0; margin: 0; visibility: hidden; font-size: 1rem; font-weight: 600;
  display: flex; gap: 1rem; align-items: center; color: var(--dbsa-muted); }
.dbsa-for > span { flex: 1; min-width: 0; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
body[data-asking] .dbsa-for { animation: dbsa-appear 0s 0.3s forwards; }
body[data-asking] .dbsa-head > :not(.dbsa-for) { animation: dbsa-vanish 0s 0.3s forwards; }
body[data-asking] .dbsa-three, body[data-asking] .dbsa-below { animation: dbsa-pale 0s 0.3s forwards; }
body[data-asking] .dbsa-head::after { content: ""; position: absolute; left: 0; bottom: -0.35rem; width: 12%;
  height: 2px; background: var(--dbsa-fill-best); visibility: hidden;
  animation: dbsa-appear 0s 0.3s forwards, dbsa-pass 1.4s 0.3s ease-in-out infinite alternate; }
@keyframes dbsa-pass { to { left: 88%; } }
@keyframes dbsa-appear { to { visibility: visible; } }
@keyframes dbsa-vanish { to { visibility: hidden; } }
@keyframes dbsa-pale { to { filter: saturate(0.25) opacity(0.85); } }
.dbsa-outdated .dbsa-panel, .dbsa-outdated .dbsa-list, .dbsa-outdated table, .dbsa-outdated ul, .dbsa-outdated dl {
  filter: saturate(0.25); color: var(--dbsa-muted); }
.dbsa-outdated .dbsa-panel *, .dbsa-outdated .dbsa-list *, .dbsa-outdated table * { color: var(--dbsa-muted); }
#details:has(.dbsa-outdated) .dbsa-masks { filter: saturate(0.25) opacity(0.8); }
.dbsa-phases h3 { margin-top: 0.8rem; }
.dbsa .dbsa-headline { font-size: 1rem; font-weight: 600; margin: 0; }
.dbsa-three { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 17.5rem); gap: 0.8rem; }
.dbsa-three[data-columns="3"] { grid-template-columns: repeat(2, minmax(0, 1fr)) minmax(0, 17.5rem); }
.dbsa-three[data-columns="4"] { grid-template-columns: repeat(3, minmax(0, 1fr)) minmax(0, 14rem); }
.dbsa-three[data-columns="5"] { grid-template-columns: repeat(4, minmax(0, 1fr)) minmax(0, 13rem); gap: 0.6rem; }
.dbsa-three[data-columns="4"] .dbsa-panel, .dbsa-three[data-columns="5"] .dbsa-panel { max-height: 30rem; }
.dbsa-three[data-columns="5"] .dbsa-row { gap: 0.4rem;
  grid-template-columns: minmax(0, 1.3fr) minmax(2.5rem, 1fr) minmax(2.2rem, auto); }
.dbsa-three[data-columns="4"] .dbsa-label, .dbsa-three[data-columns="5"] .dbsa-label { font-size: 1.15rem; }
.dbsa-three[data-columns="4"] .dbsa-picture ul, .dbsa-three[data-columns="5"] .dbsa-picture ul { position: static; }
.dbsa .dbsa-panel, .dbsa .dbsa-popup { background: var(--block-background-fill);
  border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 0.7rem 0.9rem; min-width: 0; }
.dbsa-three .dbsa-panel { max-height: 20rem; overflow: auto; }
.dbsa h2, .dbsa h3, .dbsa .dbsa-panel > details > summary { font-size: 0.82rem; font-weight: 600;
  color: var(--dbsa-muted); margin: 0 0 0.35rem; padding: 0; }
.dbsa-ask .dbsa-label { font-size: 1.6rem; line-height: 1.15; font-weight: 700; margin: 0; }
.dbsa-ask .dbsa-label.dbsa-second { font-size: 1.3rem; }
.dbsa-ask .dbsa-label.dbsa-long { font-size: 1.15rem; }
.dbsa-ask .dbsa-label .dbsa-nearest { color: var(--dbsa-muted); font-weight: 400; font-size: 0.95rem; display: block; }
.dbsa-ask .dbsa-label .dbsa-tag { vertical-align: middle; border-radius: 999px; }
.dbsa .dbsa-next { color: var(--dbsa-muted); margin: 0.1rem 0 0.6rem; }
.dbsa-ask .dbsa-row { grid-template-columns: minmax(5rem, 9.5rem) 1fr minmax(2.9rem, auto); margin-bottom: 0.3rem; }
.dbsa-ask .dbsa-bars { margin-bottom: 0.6rem; }
.dbsa-ask .dbsa-bars .dbsa-track { border-radius: 5px; }
.dbsa-ask .dbsa-bars .dbsa-fill { background: var(--dbsa-fill-best); }
.dbsa-ask .dbsa-times .dbsa-track { display: flex; overflow: hidden; }
.dbsa-ask .dbsa-times .dbsa-fill { border-radius: 0; }
.dbsa-ask .dbsa-bars .dbsa-fill.dbsa-before { background: var(--dbsa-soft-blue); }
.dbsa-ask .dbsa-bars .dbsa-fill.dbsa-anew { background: var(--dbsa-warm); }
.dbsa .dbsa-legend { font-size: 0.74rem; color: var(--dbsa-muted); margin: -0.35rem 0 0.5rem; }
.dbsa-legend > span { white-space: nowrap; margin-right: 0.8rem; }
.dbsa-key.dbsa-anew { background: var(--dbsa-warm); } .dbsa-key.dbsa-rest { background: var(--dbsa-fill-best); }
.dbsa-compared > .dbsa-muted button { margin-left: 0.3rem; padding-block: 0; }
.dbsa .dbsa-panel:has(> .dbsa-meaning) { position: relative; }
.dbsa-meaning { position: absolute; right: 0.9rem; top: 0.6rem; }
.dbsa-three[data-columns="5"] .dbsa-meaning { position: static; }
.dbsa .dbsa-panel > .dbsa-meaning > summary { font-weight: 400; font-size: 0.78rem; padding: 0;
  text-decoration: underline; list-style: none; text-align: right; }
.dbsa .dbsa-popup { position: absolute; right: 0; z-index: 20; box-shadow: 0 6px 24px rgb(0 0 0 / 0.18);
  font-size: 0.85rem; }
.dbsa-meaning > .dbsa-popup { top: 1.6rem; width: 20rem; max-width: 72vw; }
.dbsa-choose { flex: none; margin-left: auto; }
.dbsa .dbsa-choose > summary { font-weight: 500; font-size: 0.85rem; padding: 0.1rem 0; }
.dbsa-choose > .dbsa-popup { top: calc(100% + 0.3rem); width: min(30rem, 100%); }
.dbsa-choose label { display: flex; gap: 0.5rem; align-items: baseline; padding: 0.2rem 0; cursor: pointer; }
.dbsa-choose label:has(:disabled) { cursor: default; color: var(--dbsa-muted); }
.dbsa-choose label:has(:disabled) b { color: var(--dbsa-muted); }
.dbsa-choose input { margin: 0; flex: none; }
.dbsa-choose .dbsa-alone { border-top: 1px solid var(--border-color-primary); margin-top: 0.3rem; padding-top: 0.5rem; }
.dbsa .dbsa-panel > .dbsa-teach > summary { font-weight: 400; font-size: 0.85rem; padding: 0.1rem 0;
  text-decoration: underline; }
.dbsa-three .dbsa-panel:has(> .dbsa-teach[open]) { max-height: none; }
.dbsa-teach > div { display: flex; gap: 0.5rem; margin: 0.3rem 0; }
.dbsa-teach input { flex: 1; min-width: 0; padding: 0.25rem 0.6rem; font-size: 0.9rem; border-radius: 5px;
  border: 1px solid var(--input-border-color); background: var(--input-background-fill);
  color: var(--body-text-color); }
.dbsa .dbsa-say { font-size: 0.95rem; }
.dbsa .dbsa-say strong { color: inherit; }

.dbsa-picture { position: relative; margin-bottom: 0.3rem; }
.dbsa-picture ul { position: absolute; right: 0; top: 0; font-size: 0.74rem; color: var(--dbsa-muted); }
.dbsa-picture li { line-height: 1.5; color: inherit; }

.dbsa-below { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 0.8rem; align-items: start; }
.dbsa-below > details > summary { font-size: 1rem; padding: 0.3rem 0; }
.dbsa .dbsa-hint { font-size: 0.82rem; font-weight: 400; color: var(--dbsa-muted); margin-left: 0.8rem; }
.dbsa-below .dbsa-panel { margin-bottom: 0.7rem; }

.dbsa .dbsa-columns { display: flex; gap: 0.35rem; align-items: stretch; height: 9.5rem; margin-bottom: 0.4rem; }
.dbsa .dbsa-columns li { margin: 0; flex: 1 1 0; min-width: 0; font-size: 0.72rem; color: var(--dbsa-muted);
  font-variant-numeric: tabular-nums; }
.dbsa-columns .dbsa-stem { width: 100%; max-width: 2.4rem; border-radius: 2px 2px 0 0; min-height: 1px;
  background: var(--dbsa-soft-blue); flex-shrink: 1; }
.dbsa-columns .dbsa-stem.dbsa-of-block { background: var(--dbsa-fill-best); }
.dbsa-columns .dbsa-over { white-space: nowrap; }
.dbsa-columns .dbsa-under { border-top: 1px solid var(--border-color-primary); width: 100%; text-align: center;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }

@media (min-width: 761px) {
  .dbsa-three details[data-wide] > summary, .dbsa-below > details > summary { list-style: none; cursor: default;
    pointer-events: none; }
}
@media (max-width: 760px) {
  .dbsa-three[data-columns], .dbsa-below { grid-template-columns: minmax(0, 1fr); }
  .dbsa-head { flex-wrap: wrap; }
  .dbsa-three .dbsa-panel { max-height: none; }
  #ask-row { flex-direction: column; }
  #classify { min-height: 2.75rem; width: 100% !important; max-width: none; align-self: stretch; }
  .dbsa-chips { flex-wrap: nowrap; overflow-x: auto; padding-bottom: 0.2rem; }
  .dbsa-chips button { white-space: nowrap; max-width: none; }
  .dbsa-notice button { flex: 1 1 auto; min-height: 2.4rem; }
}
"""
"""For `launch(css=...)`."""

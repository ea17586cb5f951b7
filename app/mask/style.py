"""Looks of the mask: its kinds of cells differ by lightness, for who does not tell their hues apart."""

from __future__ import annotations

CSS = """
.dbsa-key { display: inline-block; width: 0.62rem; height: 0.62rem; margin-right: 0.35rem; border-radius: 1px; }
.dbsa-mask { display: block; width: 100%; height: auto; }
.dbsa-mask .dbsa-none { fill: var(--dbsa-cell-none); } .dbsa-key.dbsa-none { background: var(--dbsa-cell-none); }
.dbsa-mask .dbsa-previous { fill: var(--dbsa-cell-previous); }
.dbsa-key.dbsa-previous { background: var(--dbsa-cell-previous); }
.dbsa-mask .dbsa-sink { fill: var(--dbsa-cell-sink); } .dbsa-key.dbsa-sink { background: var(--dbsa-cell-sink); }
.dbsa-mask .dbsa-itself { fill: var(--dbsa-cell-itself); }
.dbsa-key.dbsa-itself { background: var(--dbsa-cell-itself); }
.dbsa-mask path { shape-rendering: crispEdges; }
.dbsa-mask .dbsa-gaps { stroke: var(--block-background-fill); stroke-width: 1; fill: none; }
.dbsa-mask .dbsa-pale { fill: var(--block-background-fill); fill-opacity: 0.65; }
.dbsa-mask .dbsa-read { fill: none; stroke: var(--dbsa-outline); stroke-width: 2.2; }
.dbsa-key.dbsa-read { background: none; border: 2px solid var(--dbsa-outline); }
.dbsa-mask .dbsa-asked { fill: var(--dbsa-outline); }
.dbsa-mask .dbsa-frame { fill: none; stroke: var(--body-text-color); stroke-width: 1.2; }
.dbsa-mask text { fill: var(--dbsa-muted); font-size: 11px; font-variant-numeric: tabular-nums; }
.dbsa-mask text.dbsa-axis { font-size: 12px; fill: var(--body-text-color); }
.dbsa-cells { cursor: crosshair; border-radius: 3px; touch-action: manipulation; }
.dbsa-cells[data-size] { max-width: 13.2rem; }
.dbsa-cross { fill: var(--dbsa-outline); fill-opacity: 0.45; pointer-events: none; }
.dbsa-cross.dbsa-pointed { fill-opacity: 0.22; }

.dbsa-masks { display: flex; flex-wrap: wrap; gap: 0.4rem 1.4rem; align-items: flex-start; margin: 0.4rem 0 0; }
.dbsa-masks > figcaption, .dbsa-masks > .dbsa-cellsaid { flex: 1 0 100%; }
.dbsa .dbsa-masks h3, .dbsa-masks figcaption h3 { margin: 0 0 0.2rem; font-size: 1rem; }
.dbsa-masks figcaption p { margin: 0; }
.dbsa-whole { flex: 1 1 22rem; max-width: 33rem; min-width: 0; }
.dbsa-aside { flex: 1 1 18rem; max-width: 26rem; min-width: 0; }
.dbsa .dbsa-cellsaid { box-sizing: border-box; margin: 0; padding: 0.3rem 0.8rem; min-height: 3.2rem;
  border-radius: 6px; font-size: 0.88rem; background: var(--dbsa-soft); }
.dbsa .dbsa-scale { margin: 0.2rem 0 0; }
.dbsa-near { cursor: crosshair; max-width: 24rem; }
.dbsa .dbsa-near h4 { margin: 0.5rem 0 0.1rem; font-size: 0.88rem; font-weight: 600; }
.dbsa table.dbsa-table.dbsa-counts { width: 100%; min-width: 0; }
.dbsa table.dbsa-counts th, .dbsa table.dbsa-counts td { padding: 0.15rem 0 0.15rem 0.6rem; font-size: 0.88rem; }
.dbsa table.dbsa-counts td { white-space: nowrap; }
.dbsa-goto { display: inline-flex; gap: 0.5rem; align-items: center; margin: 0.5rem 0 0; font-size: 0.85rem; }
.dbsa-goto input { width: 8.5rem; padding: 0.15rem 0.5rem; font-size: 0.85rem; border-radius: 5px;
  border: 1px solid var(--input-border-color); background: var(--input-background-fill);
  color: var(--body-text-color); }
"""

"""Looks of a page that stands alone, where Gradio's own are not there; and the buttons for its pictures."""

from __future__ import annotations

BUTTONS = (
    '<p class="dbsa-save"><span>The pictures:</span><button type="button" data-save="svg">SVG</button>'
    '<button type="button" data-save="png">PNG</button></p>'
)

SAVE_CSS = """
.dbsa .dbsa-save { display: flex; gap: 0.5rem; align-items: center; font-size: 0.85rem; color: var(--dbsa-muted); }
.dbsa .dbsa-save button { margin: 0; font-weight: 500; line-height: 1.5;
  border: 1px solid var(--button-secondary-border-color); border-radius: 5px; cursor: pointer;
  background: var(--button-secondary-background-fill); color: var(--button-secondary-text-color);
  padding: 0.1rem 0.8rem; font-size: 0.85rem; }
"""

CSS = (
    """
:root { color-scheme: light; --body-text-color: #171c24; --block-background-fill: #fff; --background-fill-primary: #fff;
  --border-color-primary: #dfe3e8; --button-secondary-background-fill: #fff; --button-secondary-text-color: #000;
  --button-secondary-background-fill-hover: #f0f2f5; --button-secondary-border-color: #c3cad3;
  --input-background-fill: #fff; --input-border-color: #c3cad3; --font-mono: ui-monospace, monospace;
  --page: #f8f9fb; }
.dark { color-scheme: dark; --body-text-color: #f0f2f5; --block-background-fill: #171c24; --page: #0f131a;
  --background-fill-primary: #171c24; --border-color-primary: #3a4351; --button-secondary-background-fill: #222933;
  --button-secondary-text-color: #fff; --button-secondary-background-fill-hover: #2d3541;
  --button-secondary-border-color: #4a5463; --input-background-fill: #222933; --input-border-color: #4a5463; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--body-text-color);
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; font-size: 16px; }
main { max-width: 1280px; margin: 0 auto; padding: 1.2rem 2rem 3rem; }
@media (max-width: 760px) { main { padding: 1rem 1rem 2rem; } }
h1 { font-size: 1.25rem; line-height: 1.3; margin: 0 0 0.2rem; overflow-wrap: anywhere; }
h2, h3, h4, dl, figure { margin: 0; }
header.dbsa { margin-bottom: 0.8rem; }
button, input, select { font: inherit; color: inherit; }
.dbsa-below { margin-top: 1rem; }
.dbsa-masks, .dbsa-more { margin-top: 1.4rem; border-top: 1px solid var(--border-color-primary); padding-top: 1rem; }
"""
    + SAVE_CSS
)

"""How the app looks: its Gradio theme, and the style sheet of its own views and figures.

Fonts are the system's and nothing is fetched. Colours of views are variables, so that they follow light and dark.
"""

from __future__ import annotations

import gradio as gr

_COBALT = gr.themes.Color(
    name="cobalt",
    c50="#f0f5fc",
    c100="#dde9f8",
    c200="#bed4f1",
    c300="#94b7e6",
    c400="#6795d8",
    c500="#3f74c2",
    c600="#2c5aa0",
    c700="#244a85",
    c800="#213f6d",
    c900="#1e365b",
    c950="#14233c",
)
_INK = gr.themes.Color(
    name="ink",
    c50="#f8f9fb",
    c100="#f0f2f5",
    c200="#e1e5ea",
    c300="#c9cfd8",
    c400="#a3acb9",
    c500="#66707f",
    c600="#4a5463",
    c700="#384150",
    c800="#222933",
    c900="#171c24",
    c950="#0f1319",
)
_SANS = ("system-ui", "-apple-system", "'Segoe UI'", "Roboto", "'Helvetica Neue'", "'Noto Sans'", "sans-serif")
_MONO = ("ui-monospace", "'SF Mono'", "'Cascadia Mono'", "Menlo", "Consolas", "'DejaVu Sans Mono'", "monospace")


def make_theme() -> gr.themes.Base:
    """Quiet greys, one blue for what can be pressed, and subdued text that is still easy to read."""
    return gr.themes.Base(
        primary_hue=_COBALT,
        secondary_hue=_COBALT,
        neutral_hue=_INK,
        radius_size=gr.themes.sizes.radius_sm,
        font=_SANS,
        font_mono=_MONO,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="*neutral_800",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_700",
        **{f"link_text_color{state}": "*primary_600" for state in ("", "_active", "_hover", "_visited")},
        **{f"link_text_color{state}_dark": "*primary_300" for state in ("", "_active", "_hover", "_visited")},
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="600",
        block_shadow="none",
        input_background_fill="white",
        input_background_fill_dark="*neutral_800",
        input_border_width="1px",
        input_border_width_dark="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_600",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_600",
        button_border_width="1px",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_500",
    )


VARIABLES = """
:root, body {
  --dbsa-fill: #5b8bd0; --dbsa-fill-best: #2c5aa0; --dbsa-track: #e6eaf0; --dbsa-muted: #4a5463; --dbsa-soft: #f0f2f5;
  --dbsa-chip: #dde9f8; --dbsa-chip-text: #1e365b;
  --dbsa-soft-blue: #9bbce8; --dbsa-warm: #c9861a; --dbsa-outline: #d9480f;
  --dbsa-cell-none: #e6eaf0; --dbsa-cell-previous: #9bbce8; --dbsa-cell-sink: #bb7a12; --dbsa-cell-itself: #214884;
  --dbsa-dot-none: #8a94a3; --dbsa-dot-ready: #2c9a5b;
  --dbsa-m1: #fdf3d0; --dbsa-m2: #fbe08a; --dbsa-m3: #f3bd2f; --dbsa-mark-text: #171c24; --dbsa-mark-line: #8a6100;
  --dbsa-error: #fdeceb; --dbsa-error-text: #7d1a15; --dbsa-error-line: #b3261e;
  --dbsa-warning: #fff5d9; --dbsa-warning-text: #5c4200; --dbsa-warning-line: #b07d00;
  --dbsa-info: #e9f1fb; --dbsa-info-text: #1e365b; --dbsa-info-line: #2c5aa0;
}
.dark {
  --dbsa-fill: #4a7cc4; --dbsa-fill-best: #94b7e6; --dbsa-track: #2d3541; --dbsa-muted: #b3bbc7; --dbsa-soft: #222933;
  --dbsa-chip: #213f6d; --dbsa-chip-text: #dde9f8;
  --dbsa-soft-blue: #3f66a3; --dbsa-warm: #e3b04b; --dbsa-outline: #ff8a5c;
  --dbsa-cell-none: #2d3541; --dbsa-cell-previous: #4570b0; --dbsa-cell-sink: #d9a440; --dbsa-cell-itself: #e3edfb;
  --dbsa-dot-none: #8a94a3; --dbsa-dot-ready: #41b877;
  --dbsa-m1: #3a3319; --dbsa-m2: #66531a; --dbsa-m3: #f0c24b; --dbsa-mark-text: #f5f1e4; --dbsa-mark-line: #d5a72f;
  --dbsa-error: #3a1a18; --dbsa-error-text: #ffd0cc; --dbsa-error-line: #f2766d;
  --dbsa-warning: #352a0d; --dbsa-warning-text: #ffe6a6; --dbsa-warning-line: #d5a72f;
  --dbsa-info: #16263f; --dbsa-info-text: #d3e3f8; --dbsa-info-line: #6795d8;
}
"""
"""Our own colours, light and dark."""
VIEWS = """
.dbsa th[scope="row"], .dbsa th:first-child { white-space: nowrap; }
.dbsa { color: var(--body-text-color); font-size: 0.95rem; line-height: 1.45; overflow-wrap: anywhere; min-width: 0; }
.dbsa p { margin: 0 0 0.45rem; color: inherit; }
.dbsa h2.dbsa-sub, .dbsa h3.dbsa-sub { margin: 0.9rem 0 0.4rem; font-size: 0.95rem; font-weight: 600; color: inherit; }
.dbsa ul, .dbsa ol { margin: 0; padding: 0; list-style: none; }
.dbsa li { color: inherit; }
.dbsa .dbsa-muted { color: var(--dbsa-muted); font-size: 0.85rem; }
.dbsa .dbsa-lead { font-size: 1.02rem; font-weight: 600; }
.dbsa .dbsa-notes { margin-top: 0.5rem; }
.dbsa .dbsa-notes li { color: var(--dbsa-muted); font-size: 0.85rem; padding-left: 0.7rem; margin: 0 0 0.3rem;
  border-left: 3px solid var(--border-color-primary); }
.dbsa .dbsa-tag { display: inline-block; font-size: 0.78rem; font-weight: 600; line-height: 1.5; padding: 0 0.45rem;
  border: 1px solid var(--dbsa-info-line); border-radius: 3px; background: var(--dbsa-info);
  color: var(--dbsa-info-text); white-space: nowrap; }
.dbsa .dbsa-tag.dbsa-out { background: var(--dbsa-warning); color: var(--dbsa-warning-text);
  border-color: var(--dbsa-warning-line); }
.dbsa .dbsa-chip { display: inline-block; max-width: 100%; font-size: 0.8rem; line-height: 1.5; padding: 0 0.5rem;
  border-radius: 999px; background: var(--dbsa-chip); color: var(--dbsa-chip-text); }

.dbsa .dbsa-facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(12.5rem, 1fr)); gap: 0.6rem 1.2rem;
  margin: 0.2rem 0 0.4rem; }
.dbsa .dbsa-facts dt { color: var(--dbsa-muted); font-size: 0.8rem; font-weight: 400; margin: 0; }
.dbsa .dbsa-facts dd { margin: 0; font-variant-numeric: tabular-nums; }

.dbsa .dbsa-row { display: grid; grid-template-columns: minmax(6rem, 36%) 1fr 4.6rem; gap: 0.6rem; align-items: center;
  margin: 0 0 0.2rem; font-size: 0.88rem; }
.dbsa .dbsa-name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.dbsa .dbsa-track { display: block; height: 0.7rem; background: var(--dbsa-track); border-radius: 2px;
  overflow: hidden; }
.dbsa .dbsa-fill { display: block; height: 100%; background: var(--dbsa-fill); }
.dbsa .dbsa-value { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.dbsa .dbsa-best { font-weight: 600; }
.dbsa .dbsa-best .dbsa-fill { background: var(--dbsa-fill-best); }

.dbsa-message { display: flex; gap: 0.7rem; padding: 0.6rem 0.8rem; border-left: 4px solid; border-radius: 3px;
  white-space: pre-line; user-select: text; }
.dbsa-message.dbsa-error { background: var(--dbsa-error); color: var(--dbsa-error-text);
  border-color: var(--dbsa-error-line); }
.dbsa-message.dbsa-warning { background: var(--dbsa-warning); color: var(--dbsa-warning-text);
  border-color: var(--dbsa-warning-line); }
.dbsa-message.dbsa-info { background: var(--dbsa-info); color: var(--dbsa-info-text);
  border-color: var(--dbsa-info-line); }
.dbsa-message strong { color: inherit; flex: none; }

.dbsa .dbsa-progressbar { height: 0.7rem; background: var(--dbsa-track); border-radius: 2px; overflow: hidden;
  margin: 0.2rem 0 0.45rem; }
.dbsa .dbsa-progressbar > span { display: block; height: 100%; background: var(--dbsa-fill-best);
  transition: width 0.3s; }
.dbsa-is-failed .dbsa-progressbar > span { background: var(--dbsa-error-line); }
.dbsa-is-stopped .dbsa-progressbar > span, .dbsa-is-changed .dbsa-progressbar > span {
  background: var(--dbsa-warning-line); }

.dbsa .dbsa-cardhead { display: flex; flex-wrap: wrap; gap: 0.3rem 0.6rem; align-items: baseline;
  margin-bottom: 0.2rem; }
.dbsa .dbsa-title { font-size: 0.85rem; font-weight: 600; color: var(--dbsa-muted); }
.dbsa .dbsa-label { font-size: 1.45rem; line-height: 1.2; font-weight: 700; margin: 0 0 0.2rem; }
.dbsa .dbsa-margin { font-size: 0.9rem; margin-bottom: 0.6rem; }
.dbsa .dbsa-card .dbsa-bars, .dbsa-card .dbsa-bars { margin-bottom: 0.6rem; }

.dbsa .dbsa-scroll { overflow-x: auto; }
/* Gradio draws a box around every table of an HTML component. */
.dbsa table.dbsa-table, .dbsa table.dbsa-table tr { border: 0 !important; }
.dbsa table.dbsa-table { border-collapse: collapse; width: auto; min-width: 20rem; margin: 0;
  font-variant-numeric: tabular-nums; }
.dbsa table.dbsa-table th, .dbsa table.dbsa-table td { padding: 0.3rem 0.8rem; border: 0;
  border-bottom: 1px solid var(--border-color-primary); text-align: right; color: inherit; background: none; }
.dbsa table.dbsa-table th:first-child { text-align: left; padding-left: 0; font-weight: 400; }
.dbsa table.dbsa-table thead th { font-weight: 600; }
.dbsa table.dbsa-table tr.dbsa-total th, .dbsa table.dbsa-table tr.dbsa-total td { font-weight: 600; border-bottom: 0; }

.dbsa .dbsa-block { border: 1px solid var(--border-color-primary); border-radius: 4px; padding: 0.6rem 0.8rem;
  margin: 0 0 0.6rem; }
.dbsa .dbsa-blockhead { display: flex; flex-wrap: wrap; gap: 0.2rem 0.7rem; align-items: baseline;
  margin-bottom: 0.3rem; }
.dbsa .dbsa-demos li { padding: 0.35rem 0; border-top: 1px solid var(--border-color-primary); }
.dbsa-fresh .dbsa-demos li:first-child { border-top: 0; }
.dbsa .dbsa-text { max-height: 8.7rem; overflow-y: auto; white-space: pre-wrap; }
.dbsa .dbsa-meta { display: flex; flex-wrap: wrap; gap: 0.2rem 0.6rem; align-items: baseline; margin-top: 0.15rem; }
.dbsa details { margin-top: 0.2rem; }
.dbsa summary { cursor: pointer; padding: 0.25rem 0; font-size: 0.88rem; font-weight: 600;
  color: var(--body-text-color); }
.dbsa summary:focus-visible { outline: 2px solid var(--dbsa-info-line); outline-offset: 2px; }
.dbsa mark { color: var(--dbsa-mark-text); padding: 0 0.12em; border-radius: 2px;
  border-bottom: 2px solid transparent; }
.dbsa mark.dbsa-m1 { background: var(--dbsa-m1); border-bottom: 1px dotted var(--dbsa-mark-line); }
.dbsa mark.dbsa-m2 { background: var(--dbsa-m2); border-bottom: 2px solid var(--dbsa-mark-line); }
.dbsa mark.dbsa-m3 { background: var(--dbsa-m3); border-bottom: 2px solid var(--dbsa-mark-line); font-weight: 700; }
.dark .dbsa mark.dbsa-m3 { color: #171c24; }

@media (max-width: 640px) {
  .dbsa .dbsa-facts { grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
  .dbsa .dbsa-row { grid-template-columns: minmax(5rem, 42%) 1fr 4.2rem; gap: 0.4rem; }
  .dbsa .dbsa-tag { white-space: normal; }
  .dbsa table.dbsa-table { min-width: 0; font-size: 0.85rem; }
  .dbsa table.dbsa-table th, .dbsa table.dbsa-table td { padding: 0.3rem 0.4rem; }
}
@media (prefers-reduced-motion: reduce) { .dbsa .dbsa-progressbar > span { transition: none; } }
"""
_FIGURES = """
.js-plotly-plot .plotly text { fill: var(--body-text-color) !important; }
.js-plotly-plot .plotly .hoverlayer .hovertext path, .js-plotly-plot .plotly .hoverlayer .hovertext rect {
  fill: var(--background-fill-primary) !important; fill-opacity: 1 !important;
  stroke: var(--body-text-color) !important; }
.js-plotly-plot .plotly .modebar-btn:not([data-title*="ownload"]) { display: none !important; }
"""

CSS: str = VARIABLES + VIEWS + _FIGURES
"""For `launch(css=...)`."""

"""One block, or similar row, token by token: what its tokens saw while it was encoded, and what the query saw of them.

`inside.js` draws it when it is opened, from what stands at the element: the text (`data-text`) and how many characters
of it each token says (`data-lengths`; none where the text is left out), the square root of each token's share of what
all of them got (`data-shares`, 16 bits each), and what they saw of other parts (`data-before`: kind, tokens and name).
"""

from __future__ import annotations

from html import escape

import numpy as np

from app.ask.by_token import MOST_TOKENS
from app.ask.heads import packed
from app.ask.shown import ShownPart, ShownTokens
from app.ask.spans import is_block
from app.words import count, percent

NOT_APART = f"Not shown token by token: the parts with most attention are, up to {MOST_TOKENS:,} tokens of one answer."
"""Of a part."""

CSS = """
.dbsa-inside { margin: 0.5rem 0 0.2rem; cursor: auto; }
.dbsa .dbsa-untold { margin: 0.4rem 0 0; font-size: 0.82rem; }
.dbsa-entry:not(.dbsa-open) .dbsa-inside, .dbsa-entry:not(.dbsa-open) .dbsa-untold { display: none; }
.dbsa .dbsa-inside > summary { font-size: 0.82rem; font-weight: 600; padding: 0.15rem 0; color: var(--dbsa-muted); }
.dbsa-inside > div { display: grid; gap: 0.4rem; }
.dbsa-inside .dbsa-windowof { display: grid; grid-template-columns: 72% 28%; font-size: 0.78rem;
  color: var(--dbsa-muted); margin-bottom: -0.3rem; }
.dbsa-window { cursor: crosshair; border-radius: 3px; touch-action: manipulation; }
.dbsa-window .dbsa-tokenat { fill: none; stroke: var(--dbsa-outline); stroke-width: 2;
  vector-effect: non-scaling-stroke; }
.dbsa-window .dbsa-tokenbars { fill: var(--dbsa-fill-best); }
.dbsa .dbsa-windowkeys { display: flex; flex-wrap: wrap; gap: 0 0.9rem; font-size: 0.78rem;
  color: var(--dbsa-muted); }
.dbsa-windowkeys li { color: inherit; }
.dbsa .dbsa-inside p { margin: 0; font-size: 0.85rem; }
.dbsa .dbsa-inside .dbsa-tokensaid { padding: 0.2rem 0.6rem; border-radius: 6px; min-height: 3.2em;
  background: var(--block-background-fill); }
@media (max-width: 760px) { .dbsa .dbsa-inside .dbsa-tokensaid { min-height: 4.8em; } }
.dbsa-tokens { position: relative; max-height: 14rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere;
  font-size: 0.85rem; line-height: 1.7; padding: 0.3rem 0.5rem; border-radius: 6px;
  border: 1px solid var(--border-color-primary); }
.dbsa-tokens > span { padding: 0.12rem 0; cursor: crosshair; box-shadow: inset 1px 0 0 var(--dbsa-track);
  background: color-mix(in srgb, var(--dbsa-token) calc(var(--dbsa-level) * 11%), transparent); }
.dbsa-tokens > span:empty { padding-left: 0.25rem; }
.dbsa-tokens > .dbsa-on { outline: 2px solid var(--dbsa-outline); }
.dbsa { --dbsa-token: var(--dbsa-fill); --dbsa-level: 0; }
"""


def inside_view(part: ShownPart, reach: str) -> str:
    """To stand in the part's entry; `reach`: see `ShownAttention`."""
    tokens = part.tokens
    if tokens is None:
        return f'<p class="dbsa-muted dbsa-untold">{NOT_APART}</p>'
    whole = float(tokens.shares.sum())
    of_whole = tokens.shares / whole if whole > 0 else tokens.shares
    data = {
        "shares": packed(np.sqrt(of_whole), 65535, "<u2"),
        "before": "; ".join(f"{one.kind} {one.tokens} {one.name}" for one in tokens.before),
        "called": _called(part),
    }
    if tokens.texts:
        data |= {"text": "".join(tokens.texts), "lengths": " ".join(str(len(text)) for text in tokens.texts)}
    named = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    said = escape(f"{most_sentence(tokens, _called(part))} {window_sentence(part)} {reach}".strip())
    return (
        f'<details class="dbsa-inside"{named}><summary>Token by token</summary>'
        f'<div><p class="dbsa-muted">{said}</p></div></details>'
    )


def most_sentence(tokens: ShownTokens, called: str) -> str:
    """Which token got most, and on how few half of it all is."""
    shares, whole = tokens.shares, float(tokens.shares.sum())
    if whole <= 0:
        return f"The query's last token looked at none of its {count(len(shares), 'token')}."
    best = int(shares.argmax())
    said = token_called(tokens, best)
    half = int(np.searchsorted(np.sort(shares)[::-1].cumsum(), whole / 2)) + 1
    got = percent(float(shares[best]) / whole)
    return (
        f"Of its {count(len(shares), 'token')}, {said} got most: {got} of what the {called} got, as the mean of all "
        f"heads. Half of that is on {count(half, 'token')}."
    )


def window_sentence(part: ShownPart) -> str:
    """What its tokens saw."""
    assert part.tokens is not None
    before = part.tokens.before
    names = " and ".join(f"{one.name} ({count(one.tokens, 'token')})" for one in before)
    when = "It was encoded" if _called(part) == "block" else "It was encoded with the query,"
    return f"{when} with {names} in sight." if names else f"{when} with nothing before it in sight."


def token_called(tokens: ShownTokens, at: int) -> str:
    """ "“router” (token 57)"; "token 57" where the text is left out or a part of a sign alone."""
    text = seen_token(tokens.texts[at]) if tokens.texts else ""
    return f"“{text}” (token {at + 1:,})" if text else f"token {at + 1:,}"


def seen_token(text: str) -> str:
    """With signs for what cannot be seen."""
    for white, sign in (("\n", "↵"), ("\t", "⇥")):
        text = text.replace(white, sign)
    return text.strip(" ") or "␣" * len(text)


def _called(part: ShownPart) -> str:
    return "block" if is_block(part.key) else "row"

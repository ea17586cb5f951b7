"""How the work of the page is asked for by a program: what each endpoint takes and answers, and the view of it.

Knows nothing about what an endpoint does.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, get_args

from app.server.jobs import State
from app.server.reproducing import HERE
from app.views import muted, view
from dbsa_core.prediction import FIELD_MEANINGS

CSS = """
#programs { margin-top: 1.5rem; }
.dbsa-programs summary { cursor: pointer; }
.dbsa-programs > details > summary { color: var(--dbsa-muted); font-size: 0.85rem; }
.dbsa-programs .dbsa-ways { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
  gap: 0 1rem; margin: 0.4rem 0; }
.dbsa-programs figure { position: relative; margin: 0 0 0.6rem; min-width: 0; }
.dbsa-programs figcaption { font-size: 0.85rem; font-weight: 600; margin-bottom: 0.2rem; color: inherit; }
.dbsa-programs pre { margin: 0; padding: 0.6rem 0.8rem; overflow-x: auto; font: 0.82rem/1.5 var(--font-mono);
  background: var(--dbsa-soft); color: var(--body-text-color); border-radius: 3px; }
.dbsa-programs figure button { position: absolute; right: 0; top: 0; padding: 0 0.6rem; font-size: 0.8rem;
  line-height: 1.4; border: 1px solid var(--border-color-primary); border-radius: 3px; cursor: pointer;
  background: var(--background-fill-primary); color: var(--body-text-color); }
.dbsa-programs summary code { font: 600 0.85rem var(--font-mono); background: none; padding: 0; color: inherit; }
.dbsa-programs dl { margin: 0.3rem 0 0.8rem 1rem; font-size: 0.85rem; display: grid; gap: 0.1rem 0.8rem;
  grid-template-columns: max-content 1fr; }
.dbsa-programs dt { font-family: var(--font-mono); font-weight: 400; margin: 0; color: inherit; }
.dbsa-programs dd { margin: 0; color: var(--dbsa-muted); }
.dbsa-programs details details p { margin: 0.3rem 0 0 1rem; font-size: 0.85rem; font-weight: 600; }
.dbsa-programs summary span { font-weight: 400; }
@media (max-width: 760px) { .dbsa-programs dl { grid-template-columns: 1fr; } }
"""
PUT_ADDRESS = f"""
const here = location.origin + location.pathname;
const put = () => element.querySelectorAll('pre').forEach(code => {{
  code.textContent = code.textContent.replaceAll('{HERE}', here);
}});
put();
watch('value', put);
element.addEventListener('click', async event => {{
  const pressed = event.target.closest('[data-copy]');
  if (!pressed) return;
  const code = pressed.closest('figure').querySelector('pre');
  try {{
    await navigator.clipboard.writeText(code.textContent);
    pressed.textContent = 'Copied';
  }} catch {{
    getSelection().selectAllChildren(code);
    pressed.textContent = 'Selected';
  }}
  setTimeout(() => {{ pressed.textContent = 'Copy'; }}, 2000);
}});
"""


@dataclass(frozen=True)
class Endpoint:
    """One thing that a program may ask for."""

    name: str
    what: str
    parameters: Mapping[str, str]
    """What each means, in their order."""
    answer: Mapping[str, str]
    """What each field of the answer means."""


_STATUS = {
    "state": f"of the encoding: none, {', '.join(get_args(State))}",
    "message": "what went wrong, or empty",
    "blocks_done": "blocks that are encoded",
    "blocks_total": "blocks of the plan",
    "seconds_left": "about how long it will go on; null where that is not known",
    "blocks_to_read": "blocks that queries choose from now",
    "changed_since": "settings that are no longer those of the encoded pool",
}
ENDPOINTS = {
    each.name: each
    for each in (
        Endpoint(
            "load_data",
            "Take a labelled file as the data.",
            {
                "file": "CSV, TSV, JSON, JSON Lines, Parquet or Excel",
                "text_column": "name of the column with the texts; guessed where it is not given",
                "label_column": "name of the column with the labels; guessed where it is not given",
            },
            {
                "rows": "rows that can be read",
                "labels": "the candidate labels",
                "text_column": "the column that was taken",
                "label_column": "the column that was taken",
                "problems": "what is wrong in the file, in sentences",
                "notes": "how the file was read, in sentences",
            },
        ),
        Endpoint(
            "load_test",
            "Take a labelled file as the test file, whose rows evaluate asks about.",
            {
                "file": "CSV, TSV, JSON, JSON Lines, Parquet or Excel",
                "text_column": "name of the column with the texts; guessed where it is not given",
                "label_column": "name of the column with the right labels; guessed where it is not given",
            },
            {
                "rows": "test rows",
                "text_column": "the column that was taken",
                "label_column": "the column that was taken",
                "notes": "what is to be known of them, in sentences",
            },
        ),
        Endpoint(
            "plan",
            "Set how the data are encoded, and say what that will cost.",
            {
                "pool_tokens": "most tokens that are encoded; null leaves it to the app",
                "block_size": "rows per block; null leaves it to the app",
                "window": "blocks before it that each block sees",
                "sink_blocks": "first blocks that every block sees and every query reads",
                "pool_precision": "how keys and values are kept: model, or int8 for less memory",
            },
            {
                "sentence": "the plan in words",
                "blocks": "blocks that will be encoded",
                "rows": "rows in them",
                "tokens": "their tokens",
                "seconds": "about how long encoding takes",
                "bytes": "memory of the encoded pool",
                "peak_bytes": "memory that encoding takes at its most, that of the pool included",
                "limited_by": "what keeps the other rows out, or empty",
                "notes": "what else is to be said, in sentences",
            },
        ),
        Endpoint(
            "encode", "Start encoding after the plan, or go on where that was stopped; then ask status.", {}, _STATUS
        ),
        Endpoint("status", "How the encoding goes, and what queries read now.", {}, _STATUS),
        Endpoint("stop", "Stop encoding; the blocks that are done can be asked.", {}, _STATUS),
        Endpoint(
            "classify",
            "Classify one text; waits for an encoding that is under way.",
            {
                "query": "the text",
                "ratio": "share of the blocks that is read, above 0 and at most 1",
                "similar_examples": "most similar rows that are encoded with the query; 0: none",
            },
            {**FIELD_MEANINGS, "used": "data, model, method, pool, settings and time, in words"},
        ),
        Endpoint(
            "evaluate",
            "Measure methods on rows whose label is known; waits for the end, which may take minutes.",
            {
                "methods": "names, with commas between, such as dbsa, dbsa_fresh, retrieval_icl, tfidf",
                "ratio": "share of the blocks that each query reads, above 0 and at most 1",
                "similar_examples": "most similar rows that are encoded with a query; 0: none",
                "hold_out": "rows of the data that are asked about and not read; null for those of load_test's file",
                "seed": "draws them",
                "reject": "whether each method is measured with a reject option too",
            },
            {
                "results": "of each method: accuracy, intervals, times, calibration and confusion",
                "comparisons": "of every two methods which is better, by McNemar's test",
                "settings": "all that the answers depend on",
                "left_out": "why a method's context does not fit, by its name",
            },
        ),
        Endpoint(
            "teach",
            "Add a labelled text to the data, such as a correction; it is read from the next query on, and nothing is "
            "encoded for it.",
            {"text": "the text", "label": "its label; one that is new becomes a candidate"},
            {"text": "the text that was added", "label": "its label", "rows_taught": "rows taught so far"},
        ),
        Endpoint(
            "reject",
            "Let answers say that no label fits, or not; what decides that is fitted first where it is not yet, on "
            "rows of the data, which may take minutes.",
            {
                "allowed": "whether answers may say so",
                "out_of_scope": "the label of texts that fit no other; empty for none, null to tell it by its name",
                "threshold": "no label fits below this in-scope score, from 0 to 1; null for the one that is fitted",
            },
            {
                "allowed": "whether answers may say so",
                "out_of_scope": "the label of texts that fit no other, or null",
                "threshold": "no label fits below this in-scope score; null where it is not fitted",
                "rows": "rows that it was fitted on",
                "coverage": "share of texts that a label fits that are answered with one, on those rows",
                "accuracy": "share of these answers that are right",
                "oos_recall": "share refused of the texts that no label fits",
            },
        ),
    )
}


def programs_view(functions: Mapping[str, Callable[..., Any]]) -> str:
    """Folded: a program in Python, the same with curl, and every endpoint; `functions` by its name."""
    ways = code_view("Python", _PYTHON) + code_view("curl", _CURL)
    endpoints = "".join(_endpoint_view(ENDPOINTS[name], function) for name, function in functions.items())
    about = muted(
        "Each client has a session of its own: it begins with the bundled example and its encoded pool, and changes "
        "nothing on this page. Errors are sentences that say what to do."
    )
    summary = "<summary>Use it from a program</summary>"
    return view("programs", f'<details>{summary}{about}<div class="dbsa-ways">{ways}</div>{endpoints}</details>')


def code_view(name: str, code: str) -> str:
    """A program, and a button that copies it."""
    copy = f'<button data-copy aria-label="Copy the {name} code">Copy</button>'
    return f'<figure><figcaption>{name}</figcaption><pre tabindex="0">{escape(code)}</pre>{copy}</figure>'


def _endpoint_view(endpoint: Endpoint, function: Callable[..., Any]) -> str:
    found = inspect.signature(function).parameters
    required = inspect.Parameter.empty
    shown = [f"{name}={found[name].default!r}".removesuffix(f"={required!r}") for name in endpoint.parameters]
    call = escape(f"{endpoint.name}({', '.join(shown)})")
    head = f"<summary><code>{call}</code> <span>{escape(endpoint.what)}</span></summary>"
    takes = [(f"{name}: {_type_words(found[name].annotation)}", text) for name, text in endpoint.parameters.items()]
    return f"<details>{head}{_list('Takes', takes)}{_list('Answers', endpoint.answer.items())}</details>"


def _list(title: str, entries: Any) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(meaning)}</dd>" for name, meaning in entries)
    return f"<p>{title}</p><dl>{rows}</dl>" if rows else ""


def _type_words(annotation: Any) -> str:
    if isinstance(annotation, types.UnionType):
        return " or ".join("null" if one is type(None) else _type_words(one) for one in get_args(annotation))
    return str(annotation.__name__)


_PYTHON = f"""\
from gradio_client import Client, handle_file

client = Client("{HERE}")
client.predict(handle_file("train.csv"), api_name="/load_data")
print(client.predict(api_name="/plan")["sentence"])
client.predict(api_name="/encode")
# status says how it goes; classify waits for it, at most three minutes.
answer = client.predict("My parcel is late", api_name="/classify")
print(answer["label"], answer["probability"])
"""
_CURL = f"""\
# Every value, in the order below. The session_hash is yours to choose:
# calls with the same one share a session.
ID=$(curl -s {HERE}gradio_api/call/classify \\
  -H "Content-Type: application/json" \\
  -d '{{"data": ["My parcel is late", 0.3, 8], "session_hash": "mine"}}' | cut -d'"' -f4)
curl -s {HERE}gradio_api/call/classify/$ID
"""

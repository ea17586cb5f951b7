"""What the browser's address says of a page, "?tab=encode&run=4fBc…", and whose page it is.

The address holds a tab and the random id of a run, never a text or the name of a file. Each browser tab is a session of
its own: its id is kept by the tab alone, and a tab that was duplicated goes on as a copy of the first.
"""

from __future__ import annotations

import json
from html import escape
from urllib.parse import parse_qs

from app.server.session import Session

TABS = {"ask": "Ask", "data": "Data", "encode": "Encode", "classify-file": "Classify a file", "evaluate": "Evaluate"}
"""Ids and names, in their order; the first is the one that an address without a tab means."""
_FIRST = next(iter(TABS))

# On a narrow screen some of the tabs stand in a menu.
_OPEN = f"""(id => {{
  const name = {json.dumps(TABS)}[id];
  const all = [...document.querySelectorAll('#tabs [role=tab], #tabs .overflow-dropdown button')];
  all.find(one => one.textContent.trim() === name)?.click();
}})"""

ARRIVE = f"""
async () => {{
  const hex = byte => (byte + 256).toString(16).slice(1);
  const fresh = () => Array.from(crypto.getRandomValues(new Uint8Array(18)), hex).join('');
  // Another tab that has this id is still there; what a page over plain HTTP cannot know.
  const mine = id => !navigator.locks ? true : new Promise(done => {{
    navigator.locks.request(`dbsa-${{id}}`, {{signal: AbortSignal.timeout(700)}}, () => {{
      done(true);
      return new Promise(() => {{}});
    }}).catch(() => done(false));
  }});
  const query = new URLSearchParams(location.search);
  query.delete('copied');
  let id = null;
  try {{
    id = sessionStorage.getItem('dbsa-session');
    if (!id || !(await mine(id))) {{
      if (id) query.set('copied', id);
      id = fresh();
      await mine(id);
      sessionStorage.setItem('dbsa-session', id);
    }}
  }} catch {{ id ??= fresh(); }}
  if (query.has('tab')) {_OPEN}(query.get('tab'));
  return [id, query.toString()];
}}
"""
"""The id of the page's session, and what its address says, before the server is asked for anything."""

HERE = "(session, arrival, ...rest) => [session, location.search.slice(1), ...rest]"
"""Hands what the address says now to an event whose first input is `Page.arrival`."""

# "At" tells an answer that came late from what is newer. A press of Back is carried out by the page and the server, and
# nothing of it is a step forward.
FOLLOW = f"""
const first = {json.dumps(_FIRST)}, open = {_OPEN};
const said = name => new URLSearchParams(location.search).get(name) ?? '';
const write = (name, value, renew) => {{
  if (said(name) === value) return;
  const to = new URL(location.href);
  value ? to.searchParams.set(name, value) : to.searchParams.delete(name);
  history[renew ? 'replaceState' : 'pushState'](null, '', to);
}};
const shown = () => element.querySelector('[data-run]')?.dataset;
let newest = 0, run = null, tab = first, goal = null;
watch('value', () => {{
  const now = shown();
  if (!now || +now.at < newest) return;
  newest = +now.at;
  if (run !== null && goal && goal !== now.run && goal !== now.before) return;
  const renew = run === null || goal !== null || !now.run || ['', now.before].includes(said('run'));
  [run, goal] = [now.run, null];
  write('run', run, renew);
}});
window.addEventListener('dbsa-tab', event => {{
  if (tab === event.detail) return;
  tab = event.detail;
  if (run !== null) write('tab', tab === first ? '' : tab, false);
}});
document.addEventListener('click', event => {{
  const link = event.target.closest('a[data-run-link]');
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  goal = link.dataset.runLink;
  if (goal === run) return void (goal = null);
  write('run', goal, false);
  trigger('click');
}});
window.addEventListener('popstate', () => {{
  const to = said('tab') || first;
  if (to !== tab) {{ tab = to; open(to); }}
  if (said('run') !== (goal ?? run)) {{ goal = said('run'); trigger('click'); }}
}});
"""
"""Of the element that holds `address_view`: writes what is shown into the address, and follows Back and Forward."""


def opens(tab: str) -> str:
    """A script that opens the tab of that id."""
    return f"() => {_OPEN}({json.dumps(tab)})"


def tells(tab: str) -> str:
    """A script that says that the tab of that id is open."""
    return f"() => {{ window.dispatchEvent(new CustomEvent('dbsa-tab', {{detail: {json.dumps(tab)}}})); }}"


def address_view(session: Session) -> str:
    """The run that its page shows, for the script that follows it."""
    answer = session.answer
    if session.viewing or answer is None:
        run, before, at = session.viewing, "", session.looked
    else:
        run, before, at = answer.id, answer.instead_of, max(session.looked, answer.asked.timestamp())
    return f'<i data-run="{escape(run)}" data-before="{escape(before)}" data-at="{at:.6f}"></i>'


def run_of(query: str) -> str:
    """The id of the run that an address names by its query string; "" for none."""
    return _first(query, "run")


def copied_from(query: str) -> str:
    """The id of the session that a duplicated tab had; "" for none."""
    return _first(query, "copied")


def _first(query: str, name: str) -> str:
    return parse_qs(query).get(name, [""])[0]

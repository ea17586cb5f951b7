"""What the views of the page do when they are pressed, typed into or shown anew.

A button of a view names the event that its press triggers (`data-event`), and so does a field for its Enter key
(`data-enter`) and a box for its change (`data-change`). What is open and being typed into (`details[data-keep]`, named
by what it is about) stays so when the view is shown anew, with what is selected there; so does the focus on a way to
rows (`data-look`). A field that Gradio uses again for something else begins empty. What was typed is taken at the press
(`TYPED`). What lies over the page (`details[data-popup]`) closes when something else is pressed. What is only wide
enough for a wide screen (`details[data-wide]`) is folded on a narrow one. Which of several buttons of one event was
pressed is said by its value (`PRESSED`).
"""

from __future__ import annotations

from typing import Any

BEHAVIOUR = """
let held = new Map(), focused = null, looked = null;
const named = new WeakMap();
const kept = () => [...element.querySelectorAll('details[data-keep]')];
const typed = one => one?.querySelector('input[type=text]');
const hold = () => {
  held = new Map(kept().filter(one => one.open).map(one => [one.dataset.keep, typed(one)?.value]));
  const now = document.activeElement;
  const own = now?.id && now.closest('details[data-keep]') && element.contains(now);
  focused = own ? [now.id, now.selectionStart, now.selectionEnd] : null;
};
const press = (from, event) => {
  const form = from.closest('details[data-keep]');
  if (typed(form) && event === 'submit') {
    if (!typed(form).value.trim()) return typed(form).focus();
    [document.body.dataset.typed, document.body.dataset.about] = [typed(form).value, form.dataset.about];
    form.open = false;
  }
  if (from.tagName === 'BUTTON') document.body.dataset.pressed = from.value;
  trigger(event);
};
for (const kind of ['input', 'toggle', 'keyup', 'select']) element.addEventListener(kind, hold, true);
document.addEventListener('focusin', event => {
  if (held.size) hold();
  looked = element.contains(event.target) && event.target.dataset.look ? event.target : null;
});
element.addEventListener('click', event => {
  const pressed = event.target.closest('[data-event]');
  if (pressed) press(pressed, pressed.dataset.event);
});
element.addEventListener('keydown', event => {
  if (event.key === 'Enter' && event.target.dataset.enter) press(event.target, event.target.dataset.enter);
});
const leave = inside => element.querySelectorAll('details[data-popup][open]').forEach(one => {
  if (!inside || !one.contains(inside)) one.open = false;
});
document.addEventListener('pointerdown', event => leave(event.target));
document.addEventListener('keydown', event => { if (event.key === 'Escape') leave(null); });
element.addEventListener('change', event => { if (event.target.dataset.change) trigger(event.target.dataset.change); });
watch('value', () => {
  for (const one of kept()) {
    const is = one.dataset.keep, field = typed(one);
    if (held.has(is)) one.open = true;
    if (field && held.has(is)) field.value = held.get(is);
    else if (field && named.get(field) !== is) field.value = '';
    if (field) named.set(field, is);
  }
  if (looked && !looked.isConnected && document.activeElement === document.body) {
    const ways = [...element.querySelectorAll('[data-look]')];
    ways.find(one => one.dataset.look === looked.dataset.look)?.focus({preventScroll: true});
  }
  const again = focused && document.getElementById(focused[0]);
  if (!again || !element.contains(again)) return;
  again.focus({preventScroll: true});
  if (again.type === 'text') again.setSelectionRange(focused[1], focused[2]);
});
// Where a list was scrolled to (`data-scroll`, its name) it stays.
const scrolled = new Map();
element.addEventListener('scroll', event => {
  if (event.target.dataset.scroll) scrolled.set(event.target.dataset.scroll, event.target.scrollTop);
}, true);
watch('value', () => element.querySelectorAll('[data-scroll]').forEach(one => {
  one.scrollTop = scrolled.get(one.dataset.scroll) ?? 0;
}));
const fold = () => element.querySelectorAll('details[data-wide]').forEach(one => { one.open = innerWidth > 760; });
fold();
watch('value', fold);
"""

PRESSED = "(session, ...given) => [session, document.body.dataset.pressed ?? '', ...given.slice(1)]"
"""Hands the value of the button that was pressed last to an event as its first input behind the session's id."""

LOOKED = """
const take = event => {
  const look = event.target.closest('[data-look]');
  if (look) document.body.dataset.look = look.dataset.look;
};
for (const kind of ['click', 'keydown']) element.addEventListener(kind, take, true);
"""
"""Before `BEHAVIOUR`: keeps which rows a button leads to (`data-look`), before the view acts on it."""

LOOK = "(session, ...given) => [session, document.body.dataset.look ?? '', ...given.slice(1)]"
"""Hands these rows to an event as its first input behind the session's id."""

LOOKING: dict[str, Any] = {"show_progress": "hidden", "queue": False, "trigger_mode": "always_last"}
"""Options of such an event: what is pressed while the last one is still being shown is shown next."""

MOMENT = "(session, ...given) => [session, String(performance.timeOrigin + performance.now()), ...given.slice(1)]"
"""Hands the moment of a press, in milliseconds, to an event as its first input behind the session's id."""


def stamped(js: str) -> str:
    """`MOMENT`, and behind it what `js` makes of the other inputs."""
    return f"(session, moment, ...given) => ({MOMENT})(session, moment, ...({js})(session, ...given).slice(1))"


TYPED = """(session, ...given) => {
  const {typed, about} = document.body.dataset;
  return [session, typed ?? '', about ?? '', ...given.slice(2)];
}"""
"""Hands what was typed into the form that was sent last, and what that form is about (`data-about`), to an event as its
first two inputs behind the session's id."""

"""What the views of the page do when they are pressed, typed into or shown anew.

A button of a view names the event that its press triggers (`data-event`), and so does a field for its Enter key
(`data-enter`). What is being typed into a form (`details[data-keep]`) is kept when the view is shown anew for the same
query. What is only wide enough for a wide screen (`details[data-wide]`) is folded on a narrow one.
"""

BEHAVIOUR = """
let held = null;
const form = () => element.querySelector('details[data-keep]');
const field = () => form()?.querySelector('input');
const hold = () => {
  const [now, typed] = [form(), field()];
  const focused = document.activeElement === typed;
  held = now?.open ? {query: now.dataset.query, value: typed.value, at: typed.selectionStart, focused} : null;
};
const press = event => {
  if (form()?.open && event === 'submit') {
    if (!field().value.trim()) return field().focus();
    form().open = false;
  }
  trigger(event);
};
for (const kind of ['input', 'toggle', 'keyup']) element.addEventListener(kind, hold, true);
document.addEventListener('focusin', () => { if (held) hold(); });
element.addEventListener('click', event => {
  const pressed = event.target.closest('[data-event]');
  if (pressed) press(pressed.dataset.event);
});
element.addEventListener('keydown', event => {
  if (event.key === 'Enter' && event.target.dataset.enter) press(event.target.dataset.enter);
});
watch('value', () => {
  const now = form();
  if (!held || !now || now.dataset.query !== held.query) return;
  const {value, at, focused} = held;
  now.open = true;
  field().value = value;
  if (focused) { field().focus(); field().setSelectionRange(at, at); }
});
const fold = () => element.querySelectorAll('details[data-wide]').forEach(one => { one.open = innerWidth > 760; });
fold();
watch('value', fold);
"""

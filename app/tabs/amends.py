"""What Gradio's own components lack for who uses a keyboard or a screen reader, added where they stand.

Arrow keys go from tab to tab; a figure can be reached, and says what it shows by its title; a box for files is called
by what is written in it and by its label.
"""

from __future__ import annotations

AMENDS = """
const named = (of, ...parts) => parts.flatMap(part => [...of.querySelectorAll(part)])
  .map(one => one.textContent.replace(/\\s+/g, ' ').trim()).filter(Boolean);
const amend = () => {
  for (const figure of document.querySelectorAll('.js-plotly-plot')) {
    figure.setAttribute('role', 'figure');
    figure.tabIndex = 0;
    figure.setAttribute('aria-label', named(figure, '.gtitle', '.gtitle-subtitle').join('. ') || 'Figure');
  }
  for (const button of document.querySelectorAll('button.upload-container, .upload-container button')) {
    const label = named(button.closest('.block') ?? button, '[data-testid=block-label]').join(' ');
    const text = button.textContent.replace(/\\s+/g, ' ').trim(), name = label ? `${text}: ${label}` : text;
    if (text && button.getAttribute('aria-label') !== name) button.setAttribute('aria-label', name);
  }
};
// A box for files is amended before anybody can meet it, whenever it comes or Gradio calls it anew; the rest, soon.
const FILES = '.upload-container';
const ofFiles = ({target, addedNodes}) =>
  target.closest?.(FILES) || [...addedNodes].some(node => node.matches?.(FILES) || node.querySelector?.(FILES));
let waits = 0;
new MutationObserver(changes => {
  if (changes.some(ofFiles)) return amend();
  if (changes.some(change => change.type === 'childList')) waits ||= setTimeout(() => { waits = 0; amend(); }, 150);
}).observe(document.body, {childList: true, subtree: true, attributeFilter: ['aria-label']});
amend();
document.addEventListener('keydown', event => {
  const here = event.target.closest?.('#tabs [role=tab]');
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (!here || !step && !['Home', 'End'].includes(event.key)) return;
  const all = [...here.closest('[role=tablist]').querySelectorAll('[role=tab]:not([disabled])')]
    .filter(one => one.offsetParent);
  const at = step ? (all.indexOf(here) + step + all.length) % all.length : event.key === 'Home' ? 0 : all.length - 1;
  event.preventDefault();
  all[at].focus();
  all[at].click();
});
"""

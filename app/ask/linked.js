// One selection for all views of an answer: see linked.py, which says how elements take part.
window.dbsaLinked ??= (() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const partsOf = element => (element?.dataset.part ?? '').split(' ').filter(Boolean);
  const numbersOf = parts => parts.filter(part => part.startsWith('block-')).map(part => Number(part.slice(6)));
  const NARROW = matchMedia('(max-width: 760px)');
  // What is chosen and what is pointed at: {parts, row, cell, from}; opened: the entries that were opened by hand.
  let chosen = null, pointed = null, order = null, answer = null, opened = new Set();

  // --- what an event is about ---------------------------------------------------------------------------------------

  const choiceOf = event => {
    const target = event.target.closest ? event.target : null;
    const named = target?.closest('[data-part]');
    if (!named || target.closest('[data-expand], [data-event], .dbsa-inside, a, select')) return null;
    return {parts: partsOf(named), row: target.closest('.dbsa-open [data-row]')?.dataset.row ?? '', from: named};
  };
  const isSame = (one, other) => one?.parts.join(' ') === other?.parts.join(' ') && one?.row === other?.row;

  // --- words --------------------------------------------------------------------------------------------------------

  const wordsOf = choice => {
    const name = choice.parts.join(' '), said = [], mask = document.querySelector('.dbsa-cells[data-linked]');
    if (mask && choice.cell && choice === pointed) {
      said.push(dbsaMask.words(mask, choice.cell));
      if (!isSame(choice, chosen)) return said[0];
    }
    const got = all('[data-said]').find(one => one.dataset.part === name)?.dataset.said;  // of an entry before a bar
    if (got) said.push(got);
    if (got && choice === pointed && !choice.cell) return got;
    const [block] = numbersOf(choice.parts);
    if (mask && block && choice.parts.length === 1) said.push(dbsaMask.ofBlock(mask, block));
    return said.join(' ');
  };

  // --- showing it ---------------------------------------------------------------------------------------------------

  const showMasks = (now, said) => {
    const kept = now === chosen ? said : chosen ? wordsOf(chosen) : '';
    const [on, over] = [chosen, pointed].map(choice => numbersOf(choice?.parts ?? []));
    const within = Boolean(now?.cell?.within ?? now?.within);
    for (const mask of all('.dbsa-cells[data-linked]')) dbsaMask.show(mask, {chosen: on, pointed: over, within, said, kept});
  };
  const say = said => {
    const line = document.querySelector('.dbsa-said');
    if (!line || chosen && pointed && NARROW.matches) return;  // there its height is that of its words
    const span = line.querySelector('span'), text = said || line.dataset.hint;
    line.setAttribute('aria-live', pointed ? 'off' : 'polite');
    if (span.textContent !== text) span.textContent = text;
    line.querySelector('[data-free]').hidden = !chosen;
    line.classList.toggle('dbsa-kept', Boolean(chosen));
  };
  const isChosenAlone = card => chosen?.parts.join(' ') === card.dataset.part;
  const isOpen = card => opened.has(card.dataset.part) || isChosenAlone(card);
  const show = () => {
    const on = new Set(chosen?.parts), over = new Set(pointed?.parts);
    for (const one of all('[data-part]')) {
      const own = partsOf(one), is = own.some(part => on.has(part));
      one.classList.toggle('dbsa-chosen', is);
      one.classList.toggle('dbsa-pointed', own.some(part => over.has(part)));
      one.querySelector('[data-link]')?.setAttribute('aria-pressed', is && !chosen.row);
    }
    for (const card of all('.dbsa-entry')) {
      const open = isOpen(card), more = card.querySelector('[data-expand]');
      card.classList.toggle('dbsa-open', open);
      more.setAttribute('aria-expanded', open);
      const [text, name] = [open ? 'less' : more.dataset.expand, card.querySelector('b').textContent];
      more.textContent = text;
      more.setAttribute('aria-label', `${text} of ${name}`);
    }
    for (const row of all('[data-row]')) {
      const is = Boolean(chosen?.row) && chosen.row === row.dataset.row && on.has(row.closest('[data-part]').dataset.part);
      row.classList.toggle('dbsa-chosen', is);
      row.querySelector('[data-link]')?.setAttribute('aria-pressed', is);
    }
    for (const group of all('.dbsa-roving')) {
      const stops = all('[data-link]', group).filter(one => one.offsetParent), focused = document.activeElement;
      const stop = stops.includes(focused) ? focused : stops.find(one => one.closest('.dbsa-chosen')) ?? stops[0];
      for (const one of all('[data-link]', group)) one.tabIndex = one === stop ? 0 : -1;
    }
    const now = pointed ?? chosen, said = now ? wordsOf(now) : '';
    showMasks(now, said);
    say(said);
    dbsaInside.show();
  };
  const reveal = (from, whole) => {
    const card = document.querySelector('.dbsa-entry.dbsa-chosen'), list = card?.closest('.dbsa-list');
    if (!list || list.contains(from)) return;
    const folded = list.closest('details');
    if (folded) folded.open = true;
    const behavior = matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth';
    const [shown, own] = [list, card].map(one => one.getBoundingClientRect());
    if (own.top >= Math.max(0, shown.top) && own.bottom <= Math.min(innerHeight, shown.bottom)) return;
    list.scrollTop = card.offsetTop;  // first, so that the page has as little to go as can be
    if (!whole) card.scrollIntoView({block: 'nearest', behavior});  // else it is far from what is looked at
  };
  const choose = choice => {
    const whole = choice?.from?.closest('.dbsa-masks'), top = whole?.getBoundingClientRect().top;
    chosen = choice && isSame(choice, chosen) ? null : choice;
    pointed = null;
    show();
    if (chosen) reveal(chosen.from, whole);
    // What opens above the whole mask does not push it away from who looks at it.
    if (whole) scrollBy({top: whole.getBoundingClientRect().top - top, behavior: 'instant'});
  };
  const point = choice => {
    if (isSame(choice, pointed) && JSON.stringify(choice?.cell) === JSON.stringify(pointed?.cell)) return;
    pointed = choice;
    show();
  };
  const sort = () => {
    for (const list of all('.dbsa-list')) {
      const select = list.parentElement.querySelector('[data-sort]');
      if (!select) continue;
      if (order && [...select.options].some(one => one.value === order)) select.value = order;
      const place = card => Number(card.getAttribute(`data-by-${select.value}`));
      list.append(...[...list.children].sort((one, other) => place(one) - place(other)));
    }
  };

  // --- events -------------------------------------------------------------------------------------------------------

  document.addEventListener('pointerover', event => {
    if (event.pointerType !== 'touch' && !dbsaMask.isOver(event)) point(choiceOf(event));
  });
  document.addEventListener('click', event => {
    if (event.target.closest?.('[data-free]')) return choose(null);
    const more = event.target.closest?.('[data-expand]');
    if (more) {
      const card = more.closest('.dbsa-entry'), {part} = card.dataset;
      if (!isOpen(card)) opened.add(part);
      else {
        opened.delete(part);
        if (isChosenAlone(card)) chosen = null;
      }
      return show();
    }
    const choice = choiceOf(event), marked = getSelection();
    if (choice && (marked.isCollapsed || !choice.from.contains(marked.anchorNode))) choose(choice);
  });
  document.addEventListener('focusin', event => {
    if (event.target.matches?.('[data-link]:focus-visible')) point(choiceOf(event));
  });
  document.addEventListener('focusout', event => { if (event.target.matches?.('[data-link]')) point(null); });
  document.addEventListener('change', event => {
    if (!event.target.matches?.('[data-sort]')) return;
    order = event.target.value;
    sort();
  });
  document.addEventListener('keydown', event => {
    if (event.key === 'Escape' && (chosen || pointed)) return choose(null);
    const group = event.target.closest?.('.dbsa-roving');
    if (!group || !event.target.matches('[data-link]')) return;
    const stops = all('[data-link]', group).filter(one => one.offsetParent);
    const to = dbsaMask.stepped(event, stops.indexOf(event.target) + 1, stops.length), next = stops[to - 1];
    if (to === null) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });

  return {
    // Whenever a view was shown anew: what is chosen stays so, unless the answer is another.
    refresh() {
      const now = document.querySelector('[data-answer]')?.dataset.answer ?? null;
      if (now !== answer) [answer, chosen, pointed, opened] = [now, null, null, new Set()];
      if (order) sort();
      show();
    },
    sort, choose, point,
  };
})();

// One selection for all views of an answer: see linked.py, which says how elements take part.
window.dbsaLinked ??= (() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const partsOf = element => (element?.dataset.part ?? '').split(' ').filter(Boolean);
  const patternOf = ({dataset: {sinks, window}}) => ({sinks: Number(sinks), window: Number(window)});
  const numbersOf = parts => parts.filter(part => part.startsWith('block-')).map(part => Number(part.slice(6)));
  // What is chosen and what is pointed at: {parts, row, cell, from}; opened: the entries that were opened by hand.
  let chosen = null, pointed = null, order = null, answer = null, opened = new Set();

  // --- what an event is about ---------------------------------------------------------------------------------------

  const cellOf = (mask, event) => {
    const svg = mask.querySelector('svg'), {size, total} = mask.dataset;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const [column, row] = [at.x, at.y].map(value => Math.floor(value / size * total));
    return column < 0 || row < 0 || column >= total || row >= total ? null : [row + 1, column + 1];
  };
  const choiceOf = event => {
    const target = event.target.closest ? event.target : null;
    const mask = target?.closest('.dbsa-cells');
    if (mask) {
      const cell = cellOf(mask, event);
      return cell && {parts: [`block-${cell[0]}`], row: '', cell, from: mask};
    }
    const named = target?.closest('[data-part]');
    if (!named || target.closest('[data-expand], [data-event], a, select')) return null;
    return {parts: partsOf(named), row: target.closest('.dbsa-open [data-row]')?.dataset.row ?? '', from: named};
  };
  const isSame = (one, other) => one?.parts.join(' ') === other?.parts.join(' ') && one?.row === other?.row;

  // --- words --------------------------------------------------------------------------------------------------------

  const listed = numbers => {
    const runs = [];
    for (const number of numbers) {
      const last = runs[runs.length - 1];
      if (last && number === last[1] + 1) last[1] = number; else runs.push([number, number]);
    }
    return runs.flatMap(([from, to]) => to - from > 1 ? [`${from} to ${to}`] : from < to ? [from, to] : [from]).join(', ');
  };
  const sawOf = ({sinks, window}, block) => {
    const seen = [];
    for (let other = 1; other < block; other++) if (other <= sinks || other >= block - window) seen.push(other);
    return seen.length ? `block${seen.length > 1 ? 's' : ''} ${listed(seen)} and itself` : 'only itself';
  };
  const cellWords = ({sinks, window}, [row, column]) => {
    if (column > row) return `Block ${column} comes after block ${row}, which does not see it.`;
    if (column === row) return `Block ${row} sees itself.`;
    if (column <= sinks) return `Block ${row} sees block ${column}: ${sinks > 1 ? 'a shared first block' : 'the shared first block'}.`;
    if (column >= row - window) return `Block ${row} sees block ${column}: one of the ${window} before it.`;
    return `Block ${row} does not see block ${column}.`;
  };
  const blockWords = (mask, block) => {
    const {encoded, read} = mask.dataset;
    if (Number(encoded) && block > Number(encoded)) return `Block ${block} is not encoded yet.`;
    const saw = `${Number(encoded) ? 'While it was encoded it saw' : 'It will see'} ${sawOf(patternOf(mask), block)}.`;
    const others = read.split(' ');
    if (!read || all(`[data-part="block-${block}"]`).length) return saw;
    const why = others.includes(`${block}`) ? 'was read, and is not among those listed' : 'was not read for this query';
    return `Block ${block} ${why}. ${saw}`;
  };
  const wordsOf = choice => {
    const name = choice.parts.join(' '), said = [], mask = document.querySelector('.dbsa-cells');
    if (mask && choice.cell && choice === pointed) {
      said.push(cellWords(patternOf(mask), choice.cell));
      if (!isSame(choice, chosen)) return said[0];
    }
    const got = all('[data-said]').find(one => one.dataset.part === name)?.dataset.said;  // of an entry before a bar
    if (got) said.push(got);
    if (got && choice === pointed && !choice.cell) return got;
    const [block] = numbersOf(choice.parts);
    if (mask && block && choice.parts.length === 1) said.push(blockWords(mask, block));
    return said.join(' ');
  };

  // --- showing it ---------------------------------------------------------------------------------------------------

  const cross = (mask, numbers) => {
    const {size, total} = mask.dataset, cell = size / total, wide = Math.max(cell, 1.6);
    return numbers.map(number => {
      const at = (number - 1) * cell;
      return `M0 ${at}H${at + wide}v${wide}H0zM${at} ${at + wide}V${size}h${wide}V${at + wide}z`;
    }).join('');
  };
  const showMask = mask => {
    const [on, over] = mask.querySelectorAll('.dbsa-cross'), numbers = numbersOf(chosen?.parts ?? []);
    on.setAttribute('d', cross(mask, numbers));
    over.setAttribute('d', cross(mask, numbersOf(pointed?.parts ?? [])));
    mask.setAttribute('aria-valuenow', numbers[0] ?? 1);
    mask.setAttribute('aria-valuetext', numbers.length ? wordsOf(chosen) : 'No block is chosen');
  };
  const say = () => {
    const line = document.querySelector('.dbsa-said');
    if (!line) return;
    const now = pointed ?? chosen, span = line.querySelector('span');
    line.setAttribute('aria-live', pointed ? 'off' : 'polite');
    const text = (now && wordsOf(now)) || line.dataset.hint;
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
    all('.dbsa-cells').forEach(showMask);
    say();
  };
  const reveal = from => {
    const card = document.querySelector('.dbsa-entry.dbsa-chosen'), list = card?.closest('.dbsa-list');
    if (!list || list.contains(from)) return;
    const folded = list.closest('details');
    if (folded) folded.open = true;
    const behavior = matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth';
    const [shown, own] = [list, card].map(one => one.getBoundingClientRect());
    if (own.top >= Math.max(0, shown.top) && own.bottom <= Math.min(innerHeight, shown.bottom)) return;
    list.scrollTop = card.offsetTop;  // first, so that the page has as little to go as can be
    card.scrollIntoView({block: 'nearest', behavior});
  };
  const choose = choice => {
    chosen = choice && isSame(choice, chosen) ? null : choice;
    pointed = null;
    show();
    if (chosen) reveal(chosen.from);
  };
  const point = choice => {
    if (isSame(choice, pointed) && choice?.cell?.join() === pointed?.cell?.join()) return;
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

  document.addEventListener('pointerover', event => { if (event.pointerType !== 'touch') point(choiceOf(event)); });
  document.addEventListener('pointermove', event => {
    if (event.pointerType !== 'touch' && event.target.closest?.('.dbsa-cells')) point(choiceOf(event));
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
  const STEPS = {ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10};
  document.addEventListener('keydown', event => {
    if (event.key === 'Escape' && (chosen || pointed)) return choose(null);
    const mask = event.target.closest?.('.dbsa-cells'), group = event.target.closest?.('.dbsa-roving');
    const end = {Home: -1, End: 1}[event.key], step = STEPS[event.key];
    if (!end && !step || event.ctrlKey || event.metaKey || event.altKey) return;
    if (mask) {
      const total = Number(mask.dataset.total), [now] = numbersOf(chosen?.parts ?? []);
      const to = end ? (end < 0 ? 1 : total) : Math.min(total, Math.max(1, now ? now + step : 1));
      event.preventDefault();
      if (to !== now || chosen.parts.length > 1) choose({parts: [`block-${to}`], row: '', from: mask});
    } else if (group && event.target.matches('[data-link]')) {
      const stops = all('[data-link]', group).filter(one => one.offsetParent), at = stops.indexOf(event.target);
      const next = stops[end ? (end < 0 ? 0 : stops.length - 1) : Math.min(stops.length - 1, Math.max(0, at + step))];
      event.preventDefault();
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    }
  });

  return {
    // Whenever a view was shown anew: what is chosen stays so, unless the answer is another.
    refresh() {
      const now = document.querySelector('[data-answer]')?.dataset.answer ?? null;
      if (now !== answer) [answer, chosen, pointed, opened] = [now, null, null, new Set()];
      if (order) sort();
      show();
    },
    sort,
  };
})();

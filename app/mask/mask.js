// The mask of stage 1, drawn from its pattern alone: see figure.py, which says how elements take part.
window.dbsaMask ??= (() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const {many, run, kindOf} = dbsaPattern, {SMALL, AROUND, leftOf, box, path, label, drawn, nothing, stepOf, ticksOf} = dbsaCells;
  const LARGEST = 440, CLOSE = 24;
  const observed = new WeakSet(), known = new WeakMap();  // of a mask: what it is drawn from, and what is shown in it

  const drawnFrom = ({dataset: {total, encoded, sinks, window, read, size}}) => [total, encoded, sinks, window, read, size].join(';');
  // Made anew where the mask is of other blocks than it was; a page may write into the very element.
  const stateOf = mask => {
    const from = drawnFrom(mask);
    if (known.get(mask)?.from !== from) {
      const [total, encoded, sinks, window] = ['total', 'encoded', 'sinks', 'window'].map(name => Number(mask.dataset[name]));
      const read = mask.dataset.read.split(' ').filter(Boolean).flatMap(run => {
        const [first, last = first] = run.split('-').map(Number);
        return Array.from({length: last - first + 1}, (_, place) => first + place);
      });
      known.set(mask, {from, total, encoded, sinks, window, read, was: new Set(read), size: 0, start: 0, chosen: [], pointed: []});
    }
    return known.get(mask);
  };
  const nearOf = mask => mask.closest('.dbsa-masks')?.querySelector('.dbsa-near');
  const isLinked = mask => mask.dataset.linked !== undefined;

  // --- drawing --------------------------------------------------------------------------------------------------------

  const draw = mask => {
    const state = stateOf(mask), {total} = state, fixed = Number(mask.dataset.size), svg = mask.querySelector('svg');
    if (!fixed && !mask.clientWidth) return;  // it is drawn as soon as there is room for it
    const size = fixed || Math.max(120, Math.min(LARGEST, mask.clientWidth - leftOf(total) - AROUND.right));
    if (size === state.size) return;
    const {shapes, factor, unit, side, box} = dbsaCells.compose(state, size, !fixed);
    svg.innerHTML = `${shapes}${path('frame', '')}${path('cross', '')}<path class="dbsa-cross dbsa-pointed"/>`;
    Object.assign(state, {size, factor, unit, side});
    if (!fixed) {
      svg.setAttribute('viewBox', `${-box.left} ${-box.top} ${box.width} ${box.height}`);
      svg.style.maxWidth = `${box.width}px`;
      const note = mask.closest('.dbsa-masks').querySelector('.dbsa-scale');
      note.hidden = factor === 1;
      note.textContent = dbsaCells.scaleWords(state, factor);
    }
    mark(mask);
  };

  // Some blocks in a row, each cell by itself, and beside them the shared first ones.
  const drawNear = mask => {
    const near = nearOf(mask), state = stateOf(mask), {total, unit} = state;
    if (!near) return;
    near.hidden = unit >= 8;
    if (near.hidden || !near.clientWidth) return;
    const count = Math.min(total, Math.max(CLOSE, Math.min(60, state.window + 10)));
    const focus = state.pointed[0] ?? state.chosen[0];
    if (focus && !state.within) {
      const at = focus - 1 - state.start;
      if (at < 2 || at > count - 3) state.start = Math.max(0, Math.min(total - count, focus - 1 - Math.floor(count / 2)));
    }
    const {start} = state, firsts = Math.min(state.sinks, 4, start);
    const before = Array.from({length: firsts}, (_, column) => column), gap = firsts ? 1 : 0;
    const columns = [...before, ...Array(gap).fill(null), ...Array.from({length: count}, (_, at) => start + at)];
    const size = Math.max(120, Math.min(330, near.clientWidth - 62)), cell = size / columns.length, high = cell * count;
    const boxes = nothing();
    for (let row = 0; row < count; row++) {
      columns.forEach((column, at) => {
        const kind = column === null ? '' : kindOf(state, start + row + 1, column + 1);
        if (kind) boxes[kind] += box(at * cell, row * cell, cell - 0.8, cell - 0.8);
      });
    }
    const across = firsts + gap, read = [], pale = Math.max(0, state.encoded - start);
    for (let at = 0; at < count; at++) if (state.was.has(start + at + 1)) read.push(box((across + at) * cell, at * cell, cell - 0.8, cell - 0.8));
    const lines = blocks => blocks.map(block => block - 1 - start).filter(at => at >= 0 && at < count)
      .map(at => box(0, at * cell, (across + at + 1) * cell, cell - 0.8)).join('');
    const step = stepOf(count, Math.max(2, Math.floor(size / 54))), ticks = ticksOf(start + 1, start + count, step);
    const shapes = drawn(boxes) + path('pale', pale < count ? box(0, pale * cell, size, high - pale * cell) : '') + path('read', read.join(''))
      + path('cross', lines(state.chosen)) + `<path class="dbsa-cross dbsa-pointed" d="${lines(state.pointed)}"/>`
      + ticks.map(tick => label(-5, (tick - start - 0.5) * cell + 4, 'end', many(tick))).join('')
      + ticks.map(tick => label((across + tick - start - 0.5) * cell, -5, 'middle', many(tick))).join('')
      + (firsts ? label(0.5 * cell, -18, 'middle', '1') : '');
    const svg = near.querySelector('svg');
    svg.setAttribute('viewBox', `-46 -30 ${size + 62} ${high + 34}`);
    svg.style.maxWidth = `${size + 62}px`;
    svg.setAttribute('aria-label', near.querySelector('h4').textContent = `Close up: ${run([start + 1, start + count])}`);
    svg.innerHTML = shapes;
    state.near = {columns, cell, count};
    const frame = Math.max(count * unit, 6), at = Math.min(start * unit, state.size - frame);
    mask.querySelector('.dbsa-frame').setAttribute('d', box(at, at, frame, frame));
  };

  const cross = ({size, unit}, numbers) => {
    const wide = Math.max(unit, 1.6);
    return numbers.map(number => {
      const at = (number - 1) * unit;
      return `M0 ${at}H${at + wide}v${wide}H0zM${at} ${at + wide}V${size}h${wide}V${at + wide}z`;
    }).join('');
  };
  const mark = mask => {
    const state = stateOf(mask);
    if (!state.size) return;
    const [on, over] = all('.dbsa-cross', mask);
    on.setAttribute('d', cross(state, state.chosen));
    over.setAttribute('d', cross(state, state.pointed));
    drawNear(mask);
  };
  // What is chosen and pointed at, as numbers of blocks; `within`: in the close-up, which then stays where it is.
  const show = (mask, {chosen = [], pointed = [], within = false, said = '', kept = ''}) => {
    const state = stateOf(mask);
    Object.assign(state, {chosen, pointed, within});
    mark(mask);
    mask.setAttribute('aria-valuenow', chosen[0] ?? 1);
    mask.setAttribute('aria-valuetext', chosen.length ? kept : 'No block is chosen');
    const line = mask.closest('.dbsa-masks')?.querySelector('.dbsa-cellsaid'), text = said || line?.dataset.hint;
    if (!line) return;
    line.setAttribute('aria-live', pointed.length ? 'off' : 'polite');
    if (line.textContent !== text) line.textContent = text;
  };

  // --- what is pointed at ---------------------------------------------------------------------------------------------

  const maskAt = event => {
    const found = event.target.closest?.('.dbsa-cells:not([data-still]), .dbsa-near');
    return found?.matches('.dbsa-near') ? found.closest('.dbsa-masks').querySelector('.dbsa-cells') : found ?? null;
  };
  const placeOf = (svg, event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const readBy = ({read, unit}, x, y) => {
    if (unit >= SMALL || !read.length || x <= y + unit || x > y + 9) return null;
    const away = block => Math.abs((block - 0.5) * unit - y);
    const nearest = read.reduce((best, block) => away(block) < away(best) ? block : best);
    return away(nearest) <= 2 ? nearest : null;
  };
  // {rows, columns, block, within}; null beside the cells. Rows are missing where it is the query that read.
  const at = (mask, event) => {
    const state = stateOf(mask), near = event.target.closest('.dbsa-near');
    if (!state.size) return null;
    if (near) {
      const {x, y} = placeOf(near.querySelector('svg'), event), {columns, cell, count} = state.near;
      const row = Math.floor(y / cell), column = columns[Math.floor(x / cell)] ?? null;
      if (row < 0 || row >= count || column === null) return null;
      const block = state.start + row + 1;
      return {rows: [block, block], columns: [column + 1, column + 1], block, within: true};
    }
    const {x, y} = placeOf(mask.querySelector('svg'), event), {size, side, factor, total, read, was} = state;
    const blocks = place => [Math.floor(place / side) * factor + 1, Math.min(total, (Math.floor(place / side) + 1) * factor)];
    const chosenOf = ([from, to]) => {
      const found = from === to ? from : read.find(block => block >= from && block <= to);
      return found ?? Math.floor((from + to) / 2);
    };
    if (x < 0 || x >= size + 9 || y < 0) return null;
    if (y >= size) {
      if (mask.dataset.size || !read.length || y < size + 7 || y > size + 19) return null;
      return {columns: blocks(x), block: chosenOf(blocks(x)), within: false};
    }
    const own = readBy(state, x, y);
    if (own && y < size) return {rows: [own, own], columns: [own, own], block: own, within: false};
    if (x >= size) return null;
    return {rows: blocks(y), columns: blocks(x), block: chosenOf(blocks(y)), within: false};
  };

  // --- words ----------------------------------------------------------------------------------------------------------

  const words = (mask, area) => dbsaPattern.ofArea(stateOf(mask), area);
  const ofBlock = (mask, block) => {
    const told = isLinked(mask) && all(`[data-part="block-${block}"]`).length > 0;
    return dbsaPattern.ofBlock(stateOf(mask), block, told);
  };

  // --- events ---------------------------------------------------------------------------------------------------------

  // A mask that is linked to no other view keeps what is chosen in it itself.
  let over = null;
  const keptWords = mask => {
    const [block] = stateOf(mask).chosen, said = block ? ofBlock(mask, block) : '';
    return !block || said.startsWith('Block') ? said : `Block ${many(block)}. ${said}`;
  };
  const showOwn = (mask, area, within = area?.within) => {
    const state = stateOf(mask), kept = keptWords(mask);
    show(mask, {chosen: state.chosen, pointed: area ? [area.block] : [], within, said: area ? words(mask, area) : kept, kept});
  };
  const point = (mask, area) => {
    if (over && over !== mask) showOwn(over, null);
    over = mask && !isLinked(mask) ? mask : null;
    if (!mask) return;
    if (isLinked(mask)) dbsaLinked.point(area && {parts: [`block-${area.block}`], row: '', cell: area, from: mask});
    else showOwn(mask, area);
  };
  const choose = (mask, block, within = false) => {
    if (isLinked(mask)) return dbsaLinked.choose({parts: [`block-${block}`], row: '', within, from: mask});
    const state = stateOf(mask);
    state.chosen = state.chosen[0] === block ? [] : [block];
    showOwn(mask, null, within);
  };
  document.addEventListener('pointermove', event => {
    if (event.pointerType === 'touch') return;
    const mask = maskAt(event);
    if (mask) point(mask, at(mask, event)); else if (over) point(null);
  });
  document.addEventListener('click', event => {
    const mask = maskAt(event), area = mask && at(mask, event);
    if (area) choose(mask, area.block, area.within);
  });
  document.addEventListener('change', event => {
    if (!event.target.matches?.('[data-goto]')) return;
    const mask = event.target.closest('.dbsa-masks').querySelector('.dbsa-cells'), {total, chosen} = stateOf(mask);
    const block = Math.max(1, Math.min(total, Math.round(event.target.valueAsNumber)));
    if (!block) return;
    event.target.value = block;
    if (chosen[0] !== block || chosen.length > 1) choose(mask, block);
  });
  const STEPS = {ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10};
  // Where a key leads among so many, from one of them, counted from 1, or from none (0); null where it leads nowhere.
  const stepped = (event, now, total) => {
    const end = {Home: 1, End: total}[event.key], step = STEPS[event.key];
    if (!end && !step || event.ctrlKey || event.metaKey || event.altKey) return null;
    return end ?? Math.min(total, Math.max(1, now ? now + step : 1));
  };
  document.addEventListener('keydown', event => {
    if (event.key === 'Escape') {
      for (const mask of all('.dbsa-cells:not([data-linked])')) if (stateOf(mask).chosen.length) choose(mask, stateOf(mask).chosen[0]);
      return;
    }
    const mask = event.target.closest?.('.dbsa-cells');
    if (!mask) return;
    const {total, chosen: [now, ...others]} = stateOf(mask), to = stepped(event, now ?? 0, total);
    if (to === null) return;
    event.preventDefault();
    if (to !== now || others.length) choose(mask, to);
  });
  const resized = new ResizeObserver(entries => {
    for (const {target} of entries) {
      const mask = target.matches('.dbsa-cells') ? target : target.closest('.dbsa-masks').querySelector('.dbsa-cells');
      draw(mask);
      if (target !== mask && stateOf(mask).size) drawNear(mask);
    }
  });

  return {
    // Whenever masks were shown anew.
    refresh() {
      for (const mask of all('.dbsa-cells')) {
        const state = stateOf(mask), svg = mask.querySelector('svg');
        if (!svg.firstChild) state.size = 0;
        draw(mask);
        if (mask.dataset.size || observed.has(mask)) continue;
        observed.add(mask);
        resized.observe(mask);
        resized.observe(mask.closest('.dbsa-masks').querySelector('.dbsa-aside'));
      }
    },
    // So many blocks are encoded by now.
    encoded(mask, blocks) {
      const state = stateOf(mask);
      if (state.encoded === blocks) return;
      state.encoded = blocks;
      mask.dataset.encoded = blocks;
      state.from = drawnFrom(mask);
      if (!state.size) return;
      const {total, unit, size} = state;
      mask.querySelector('.dbsa-pale').setAttribute('d', blocks < total ? box(0, blocks * unit, size, size - blocks * unit) : '');
      drawNear(mask);
    },
    isOver: event => Boolean(event.target.closest?.('.dbsa-cells, .dbsa-near')),
    // The whole of a mask for another picture: {shapes, box}, what stands left of and above its first cell in the box.
    picture: mask => dbsaCells.compose(stateOf(mask), LARGEST, true),
    show, words, ofBlock, stepped,
  };
})();

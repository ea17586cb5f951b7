// The mask of stage 1, drawn from its pattern alone: see figure.py, which says how elements take part.
window.dbsaMask ??= (() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const {many, run, first, before, strips, kindOf} = dbsaPattern;
  const LARGEST = 440, AROUND = {top: 36, right: 22, below: 26}, SMALL = 5, CLOSE = 24, SHADES = 5;
  const leftOf = total => 28 + 6.5 * many(total).length;
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

  const box = (x, y, wide, high) => `M${+x.toFixed(2)} ${+y.toFixed(2)}h${+wide.toFixed(2)}v${+high.toFixed(2)}h${-wide.toFixed(2)}z`;
  const path = (kind, d) => `<path class="dbsa-${kind}" d="${d}"/>`;
  const KINDS = ['none', 'previous', 'sink', 'itself'];
  const drawn = boxes => KINDS.map(kind => path(kind, boxes[kind])).join('');
  const nothing = () => Object.fromEntries(KINDS.map(kind => [kind, '']));
  // Lines between the cells of a block and those before it.
  const grid = (cells, unit) => Array.from({length: cells - 1}, (_, at) => {
    const place = (at + 1) * unit;
    return `M0 ${place}H${place}M${place} ${place}V${cells * unit}`;
  }).join('');
  const stepOf = (count, most) => {
    for (let power = 1; ; power *= 10) for (const times of [1, 2, 5]) if (count <= most * times * power) return times * power;
  };
  // Whole numbers of blocks that there are; the first, and where `next` would be too near to it, not that one.
  const ticksOf = (from, to, step) => {
    const found = [];
    for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) if (tick - from >= step / 2) found.push(tick);
    return [from, ...found.filter(tick => tick > from)];
  };
  const label = (x, y, anchor, text, more = '') => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${more}>${text}</text>`;

  // What was read, square by square: the darker, the larger the share of a square's blocks.
  const shaded = ({read}, factor, side, shape) => {
    const counts = new Map(), paths = Array(SHADES).fill('');
    for (const block of read) {
      const at = Math.floor((block - 1) / factor);
      counts.set(at, (counts.get(at) ?? 0) + 1);
    }
    for (const [at, count] of counts) paths[Math.ceil(SHADES * count / factor) - 1] += shape(at * side, side);
    return paths.map((d, shade) => d && `<path class="dbsa-asked" fill-opacity="${(shade + 1) / SHADES}" d="${d}"/>`).join('');
  };
  const scaleWords = ({sinks, window, read}, factor) => {
    const kinds = ['one that sees itself', sinks && `one that sees ${first(sinks)}`, window && `one that sees ${before(window)}`];
    const shade = read.length ? ' The more of its blocks were read, the stronger its mark.' : '';
    return `Each square stands for ${factor} × ${factor} blocks, and looks like ${kinds.filter(Boolean).join(', else like ')}.${shade}`;
  };

  // The shapes of a mask of so many pixels, with axes and the query's row or without.
  const compose = (state, size, axes) => {
    const {total, encoded, read} = state;
    const factor = Math.ceil(total / size), count = Math.ceil(total / factor), unit = size / total, side = unit * factor;
    const boxes = nothing();
    for (let row = 0; row < count; row++) {
      const high = Math.min(unit < SMALL ? side + 0.4 : side, size - row * side);  // no seams between rows
      for (const [kind, from, end] of strips(state, factor, row)) {
        boxes[kind] += box(from * side, row * side, Math.min(size, end * side) - from * side, high);
      }
    }
    let shapes = drawn(boxes);
    if (unit >= SMALL) shapes += path('gaps', grid(total, unit));
    shapes += path('pale', encoded < total ? box(0, encoded * unit, size, size - encoded * unit) : '');
    if (unit >= SMALL) shapes += path('read', read.map(block => box((block - 1) * unit, (block - 1) * unit, unit, unit)).join(''));
    else shapes += shaded(state, factor, side, (at, wide) => box(Math.min(size - 1, at + wide + 1), at, 6, wide));
    if (axes) {
      const ticks = ticksOf(1, total, stepOf(total, Math.max(2, Math.min(10, Math.floor(size / (14 + 6.5 * many(total).length))))));
      shapes += ticks.map(tick => label((tick - 0.5) * unit, -6, 'middle', many(tick))).join('');
      shapes += ticks.map(tick => label(-6, (tick - 0.5) * unit + 4, 'end', many(tick))).join('');
      shapes += label(size / 2, -23, 'middle', 'attended to', ' class="dbsa-axis"');
      shapes += label(0, 0, 'middle', 'block being encoded', ` class="dbsa-axis" transform="translate(${14 - leftOf(total)} ${size / 2}) rotate(-90)"`);
      if (read.length) {
        shapes += path('none', box(0, size + 7, size, 12));
        shapes += shaded(state, factor, side, (at, wide) => box(at, size + 7, Math.min(wide, size - at), 12));
        shapes += label(-6, size + 17, 'end', 'query');
      }
    }
    const left = leftOf(total), {top, right, below} = AROUND;
    return {shapes, factor, unit, side, box: {left, top, width: size + left + right, height: size + top + below}};
  };
  const draw = mask => {
    const state = stateOf(mask), {total} = state, fixed = Number(mask.dataset.size), svg = mask.querySelector('svg');
    if (!fixed && !mask.clientWidth) return;  // it is drawn as soon as there is room for it
    const size = fixed || Math.max(120, Math.min(LARGEST, mask.clientWidth - leftOf(total) - AROUND.right));
    if (size === state.size) return;
    const {shapes, factor, unit, side, box} = compose(state, size, !fixed);
    svg.innerHTML = `${shapes}${path('frame', '')}${path('cross', '')}<path class="dbsa-cross dbsa-pointed"/>`;
    Object.assign(state, {size, factor, unit, side});
    if (!fixed) {
      svg.setAttribute('viewBox', `${-box.left} ${-box.top} ${box.width} ${box.height}`);
      svg.style.maxWidth = `${box.width}px`;
      const note = mask.closest('.dbsa-masks').querySelector('.dbsa-scale');
      note.hidden = factor === 1;
      note.textContent = scaleWords(state, factor);
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
  document.addEventListener('keydown', event => {
    if (event.key === 'Escape') {
      for (const mask of all('.dbsa-cells:not([data-linked])')) if (stateOf(mask).chosen.length) choose(mask, stateOf(mask).chosen[0]);
      return;
    }
    const mask = event.target.closest?.('.dbsa-cells'), end = {Home: -1, End: 1}[event.key], step = STEPS[event.key];
    if (!mask || !end && !step || event.ctrlKey || event.metaKey || event.altKey) return;
    const {total, chosen: [now, ...others]} = stateOf(mask);
    const to = end ? (end < 0 ? 1 : total) : Math.min(total, Math.max(1, now ? now + step : 1));
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
    picture: mask => compose(stateOf(mask), LARGEST, true),
    show, words, ofBlock,
  };
})();

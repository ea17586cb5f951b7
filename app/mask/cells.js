// The shapes of a mask of stage 1 as SVG, from what its pattern says (see pattern.js): no element of a page is touched.
window.dbsaCells ??= (() => {
  const {many, first, before, strips} = dbsaPattern;
  const AROUND = {top: 36, right: 22, below: 26}, SMALL = 5, SHADES = 5;
  const leftOf = total => 28 + 6.5 * many(total).length;

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

  return {SMALL, AROUND, leftOf, box, path, label, drawn, nothing, stepOf, ticksOf, scaleWords, compose};
})();

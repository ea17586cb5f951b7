// Where one head looked, in all views of an answer: see heads.py, which says how elements take part.
window.dbsaHeads ??= (() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  // The grid's data; the head that is chosen and the one that is pointed at, null for the mean of all; what is shared.
  let data = null, at = null, over = null, share = null, answer = null;

  const bytes = text => Uint8Array.from(atob(text), one => one.charCodeAt(0));
  const wide = text => {
    const packed = bytes(text);
    return Uint16Array.from({length: packed.length / 2}, (_, at) => packed[2 * at] + 256 * packed[2 * at + 1]);
  };
  const read = grid => {
    const {layers, heads, parts, groups, mass, rows, spread} = grid.dataset;
    const count = layers * heads, pairs = wide(mass), by = bytes(rows ?? '');
    return {grid, from: mass, heads: Number(heads), layers: Number(layers), parts: Number(parts), count,
      groups: JSON.parse(groups), pairs, columns: pairs.length / count, by, stretches: by.length / count,
      spread: [...wide(spread)].map(one => Math.max(1, one / 65535 * parts))};
  };
  const massOf = (head, columns) => {
    let sum = 0;
    for (const one of columns) sum += data.pairs[head * data.columns + one];
    return sum / 65535;
  };
  const concentration = head => 1 - Math.log(data.spread[head]) / Math.log(data.parts);
  const columnsOf = element => (element.dataset.columns ?? '').split(' ').filter(Boolean).map(Number);
  const stretchOf = (head, element) => {
    const part = columnsOf(element.closest('[data-columns]'));
    return massOf(head, part) * (data.by[head * data.stretches + Number(element.dataset.stretch)] / 255) ** 2;
  };
  const percent = share => {
    if (share <= 0 || share >= 1) return share <= 0 ? '0 %' : '100 %';
    if (share < 0.0005) return '< 0.1 %';
    return share >= 0.9995 ? '> 99.9 %' : `${(100 * share).toFixed(1)} %`;
  };
  const nameOf = head => `head ${head % data.heads + 1} of layer ${Math.floor(head / data.heads) + 1}`;
  const now = () => over ?? at;

  // --- words ------------------------------------------------------------------------------------------------------

  const mostOf = (head, entry) => {
    const found = all('[data-stretch][data-number]', entry).map(one => [stretchOf(head, one), one.dataset.number]);
    const [most, row] = found.sort((one, other) => other[0] - one[0])[0] ?? [0, ''];
    return most > 0 ? ` Of its rows, ${row} got most: ${percent(most)}.` : '';
  };
  const saidOf = (head, element) => {
    const {called, together} = element.dataset, got = percent(massOf(head, columnsOf(element)));
    const more = element.matches('.dbsa-entry') ? mostOf(head, element) : '';
    return `${called} got ${got} of the attention of ${nameOf(head)}${together ?? ''}.${more}`;
  };
  const bestSaid = head => {
    const {words, columns = []} = data.groups.retrieved ?? {};
    const best = columns.map(one => [massOf(head, [one]), one]).sort((one, other) => other[0] - one[0])[0];
    const bar = best && all('.dbsa-columns li[data-columns]').find(one => columnsOf(one).includes(best[1]));
    return bar ? `Of ${words}, most to ${bar.querySelector('.dbsa-under').textContent}: ${percent(best[0])}.` : '';
  };
  const sentence = head => {
    const groups = Object.values(data.groups);
    const shares = groups.map(({words, columns}) => `${percent(massOf(head, columns))} on ${words}`);
    const blocks = all('.dbsa-entry[data-columns]').map(one => [massOf(head, columnsOf(one)), one]);
    const [most, entry] = blocks.sort((one, other) => other[0] - one[0])[0] ?? [0, null];
    const name = nameOf(head), spread = ` Spread over ${data.spread[head].toFixed(1)} of ${data.parts} parts.`;
    const best = entry && most > 0 ? ` Of what was read, ${entry.dataset.called} got most: ${percent(most)}.` : '';
    return `${name[0].toUpperCase()}${name.slice(1)}: ${shares.join(', ')}.${spread}${best}${entry ? mostOf(head, entry) : ''}`;
  };

  // --- showing it -------------------------------------------------------------------------------------------------

  // What the server wrote is that of the mean, and comes back with it. A page may write a new answer into the very
  // elements of the one before: what was not put there by us is the server's.
  const put = (element, name, value) => {
    const own = `own${name}`, ours = `ours${name}`;
    const is = name === 'text' ? element.textContent : element.getAttribute(name) ?? '';
    if (element[ours] !== is) element[own] = is;
    const to = element[ours] = value ?? element[own];
    if (to === is) return;
    if (name === 'text') element.textContent = to; else element.setAttribute(name, to);
  };
  const showBars = head => {
    const bars = all('.dbsa-columns li[data-columns]');
    const shares = head === null ? [] : bars.map(one => massOf(head, columnsOf(one)));
    const widest = Math.max(...shares, 0) || 1;
    bars.forEach((bar, place) => {
      const is = head === null ? null : shares[place];
      put(bar.querySelector('.dbsa-over'), 'text', is === null ? null : (100 * is).toFixed(1));
      put(bar.querySelector('.dbsa-stem'), 'style', is === null ? null : `height:${(72 * is / widest).toFixed(1)}%`);
      put(bar, 'data-said', is === null ? null : saidOf(head, bar));
    });
  };
  const showEntries = head => {
    const entries = all('.dbsa-entry');
    const shares = entries.map(one => head === null || !one.dataset.columns ? null : massOf(head, columnsOf(one)));
    const ranked = entries.map((_, place) => place).sort((one, other) => (shares[other] ?? -1) - (shares[one] ?? -1));
    entries.forEach((entry, place) => {
      const is = shares[place], text = entry.querySelector('.dbsa-share'), none = head !== null && is === null;
      if (text) put(text, 'text', head === null ? null : none ? '' : percent(is));
      put(entry, 'data-said', is === null ? null : saidOf(head, entry));
      if (entry.hasAttribute('data-by-attention')) {
        put(entry, 'data-by-attention', head === null ? null : String(ranked.indexOf(place)));
      }
      // Of a row whose share by head was not sent nothing is said.
      const rows = all('.dbsa-got', entry), known = row => is !== null && row.dataset.stretch;
      const own = rows.map(row => known(row) ? stretchOf(head, row) : 0), most = Math.max(...own, 0) || 1;
      rows.forEach((row, at) => {
        const width = `width:${(100 * own[at] / most).toFixed(0)}%`;
        put(row.querySelector('b'), 'text', head === null ? null : known(row) ? percent(own[at]) : '');
        put(row.querySelector('.dbsa-fill'), 'style', head === null ? null : width);
      });
    });
  };
  const cellOf = head => {
    const wide = 560 / data.heads, high = Math.max(4, 200 / data.layers);
    const [x, y] = [head % data.heads * wide, Math.floor(head / data.heads) * high];
    return [x, y, wide - 1, high - 1];
  };
  const box = cell => {
    const [x, y, wide, high] = cell.map(value => value.toFixed(1));
    return `M${x} ${y}h${wide}v${high}h-${wide}z`;
  };
  const shade = () => {
    const levels = all('[data-level]', data.grid), paths = levels.map(() => ''), group = data.groups[share];
    const shares = Array.from({length: data.count}, (_, head) => group ? massOf(head, group.columns) : concentration(head));
    const most = Math.max(...shares, 1e-6), last = levels.length - 1;
    shares.forEach((one, head) => { paths[Math.min(last, Math.ceil(last * one / most))] += box(cellOf(head)); });
    levels.forEach((one, level) => one.setAttribute('d', paths[level]));
  };
  const show = () => {
    const head = now(), [on, pointed] = all('.dbsa-headat', data.grid);
    on.setAttribute('d', at === null ? '' : box(cellOf(at)));
    pointed.setAttribute('d', over === null ? '' : box(cellOf(over)));
    showBars(head);
    showEntries(head);
    const text = head === null ? null : sentence(head), line = document.querySelector('.dbsa-headsaid');
    put(line, 'text', text);
    put(document.querySelector('.dbsa-barsaid'), 'text', head === null ? null : bestSaid(head));
    for (const one of all('.dbsa-whose')) put(one, 'text', head === null ? null : nameOf(head));
    for (const one of all('[data-mean]')) one.hidden = at === null;
    data.grid.setAttribute('aria-valuenow', (at ?? 0) + 1);
    data.grid.setAttribute('aria-valuetext', at === null ? 'Mean of all heads' : sentence(at));
    dbsaLinked.refresh();
    if (over === null) dbsaLinked.sort();
  };
  const choose = head => { [at, over] = [head === at ? null : head, null]; show(); };
  const point = head => { if (head !== over) { over = head; show(); } };

  // --- events -----------------------------------------------------------------------------------------------------

  const headOf = event => {
    const box = data.grid.querySelector('svg').getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / box.width * data.heads);
    const row = Math.floor((event.clientY - box.top) / box.height * data.layers);
    return column < 0 || row < 0 || column >= data.heads || row >= data.layers ? null : row * data.heads + column;
  };
  const isOn = event => data && event.target.closest?.('.dbsa-grid') === data.grid;
  document.addEventListener('pointermove', event => {
    if (!data || event.pointerType === 'touch') return;
    if (isOn(event)) point(headOf(event)); else if (over !== null) point(null);
  });
  document.addEventListener('click', event => {
    if (!data) return;
    if (event.target.closest?.('[data-mean]')) choose(null);
    else if (isOn(event)) { const head = headOf(event); if (head !== null) choose(head); }
  });
  document.addEventListener('change', event => {
    if (!data || !event.target.matches?.('[data-share]')) return;
    share = event.target.value;
    shade();
  });
  document.addEventListener('keydown', event => {
    if (!data || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Escape' && (at !== null || over !== null)) { [at, over] = [null, null]; return show(); }
    if (!isOn(event)) return;
    const steps = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -data.heads, ArrowDown: data.heads};
    const end = {Home: 0, End: data.count - 1}[event.key], step = steps[event.key];
    if (end === undefined && !step) return;
    event.preventDefault();
    const to = end ?? (at === null ? 0 : at + step);
    if (to >= 0 && to < data.count && to !== at) choose(to);
  });

  return {
    percent, wide,
    // Whenever a view was shown anew: the head that is chosen stays so, unless the answer is another.
    refresh() {
      const grid = document.querySelector('.dbsa-grid[data-mass]');
      const about = document.querySelector('[data-answer]')?.dataset.answer ?? null;
      if (about !== answer) [answer, at, over, share] = [about, null, null, null];
      if (!grid) { data = null; return; }
      if (data?.grid !== grid || data.from !== grid.dataset.mass) data = read(grid);
      if (at !== null && at >= data.count) at = null;
      const select = document.querySelector('[data-share]');
      if (select && [...select.options].some(one => one.value === share)) { select.value = share; shade(); }
      else share = select?.value ?? null;
      show();
    },
  };
})();

// What an answer shows as one picture, in the colours that are on the screen: a mask, and where the query looked.
window.dbsaPicture ??= (() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const safe = text => text.replace(/[&<>"]/g, one => ({'&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;'})[one]);
  const FONT = 'system-ui, -apple-system, Segoe UI, Roboto, sans-serif';
  const colourOf = name => getComputedStyle(document.body).getPropertyValue(name).trim();
  const ground = () => {
    const probe = document.createElement('i');
    probe.style.color = 'var(--block-background-fill)';
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const text = (x, y, words, more = '') => `<text x="${x}" y="${y}" ${more}>${safe(words)}</text>`;
  const cut = (words, most) => words.length > most ? `${words.slice(0, most - 1).trimEnd()}…` : words;
  const lines = (words, most) => words.split(' ').reduce((found, word) => {
    const last = found[found.length - 1];
    if (last && last.length + 1 + word.length <= most) found[found.length - 1] = `${last} ${word}`; else found.push(word);
    return found;
  }, []);
  const looks = () => {
    const fills = [['none', 'cell-none'], ['previous', 'cell-previous'], ['sink', 'cell-sink'], ['itself', 'cell-itself'],
      ['asked', 'outline'], ['of-block', 'fill-best'], ['of-other', 'soft-blue'], ['head', 'fill-best']];
    const [outline, muted, colour, back] = [colourOf('--dbsa-outline'), colourOf('--dbsa-muted'), getComputedStyle(document.body).color, ground()];
    return `text { font-family: ${FONT}; font-size: 12px; fill: ${colour}; } .m text, .q { fill: ${muted}; font-size: 11px; }
      .t { font-size: 18px; font-weight: 600; } .h { font-weight: 600; font-size: 13px; }
      ${fills.map(([name, from]) => `.dbsa-${name} { fill: ${colourOf(`--dbsa-${from}`)}; }`).join('\n')}
      .dbsa-gaps { stroke: ${back}; fill: none; } .dbsa-pale { fill: ${back}; fill-opacity: 0.65; }
      .dbsa-read { fill: none; stroke: ${outline}; stroke-width: 2.2; } .m path { shape-rendering: crispEdges; }
      .b { fill: ${back}; }`;
  };

  const legend = (x, y) => all('.dbsa-picture li').map((item, at) => {
    const kind = [...item.querySelector('.dbsa-key').classList].find(one => one !== 'dbsa-key');
    return `<rect class="${kind}" x="${x}" y="${y + 18 * at}" width="10" height="10"/>${text(x + 16, y + 9 + 18 * at, item.textContent)}`;
  }).join('');
  const bars = (x, y, width) => {
    const items = all('.dbsa-columns li'), wide = width / items.length, high = 120;
    const shares = items.map(item => Number(item.querySelector('.dbsa-over').textContent)), most = Math.max(...shares, 0.1);
    return items.map((item, at) => {
      const left = x + at * wide, tall = high * shares[at] / most, middle = left + wide / 2;
      const kind = item.querySelector('.dbsa-stem').classList.contains('dbsa-of-block') ? 'of-block' : 'of-other';
      return `<rect class="dbsa-${kind}" x="${(left + 0.12 * wide).toFixed(1)}" y="${(y + high - tall).toFixed(1)}" width="${(0.76 * wide).toFixed(1)}" height="${tall.toFixed(1)}"/>`
        + text(middle, y + high - tall - 5, shares[at].toFixed(1), 'class="q" text-anchor="middle"')
        + text(middle, y + high + 14, cut(item.querySelector('.dbsa-under').textContent, 9), 'class="q" text-anchor="middle"');
    }).join('');
  };
  const heads = (x, y, width) => {
    const grid = document.querySelector('.dbsa-grid svg');
    if (!grid) return '';
    const cells = all('[data-level]', grid).map(one => `<path class="dbsa-head" d="${one.getAttribute('d') ?? ''}" fill-opacity="${one.getAttribute('fill-opacity')}"/>`);
    return `<svg x="${x}" y="${y}" width="${width}" height="200" viewBox="${grid.getAttribute('viewBox')}" preserveAspectRatio="none">${cells.join('')}</svg>`;
  };
  const titled = (x, y, words) => text(x, y, words, 'class="h"');
  const paragraph = (x, y, words, most) => lines(words, most).map((line, at) => text(x, y + 16 * at, line, 'class="q"')).join('');
  const wordsOf = selector => (document.querySelector(selector)?.textContent ?? '').replace(/\s+/g, ' ').replaceAll(' %', '\u00a0%').trim();

  // A whole SVG file, and its size.
  const svg = () => {
    const mask = document.querySelector('.dbsa-cells[data-linked]'), {shapes, box} = dbsaMask.picture(mask);
    const looked = document.querySelector('.dbsa-columns'), right = box.width + 50, wide = 560, top = 78;
    const width = looked ? right + wide + 24 : box.width + 190, height = Math.max(top + box.height + 40, looked ? 640 : 0);
    const label = wordsOf('#dbsa-answer .dbsa-label'), query = wordsOf('.dbsa-for > span').replace(/^for: /, '');
    const select = document.querySelector('[data-share]'), on = select?.options[select.selectedIndex].textContent;
    const parts = [
      `<rect class="b" width="${width}" height="${height}"/>`,
      text(20, 32, cut(label, 60), 'class="t"'), text(20, 54, cut(query, looked ? 140 : 80), 'class="q"'),
      titled(20, top, 'Which block saw which while it was encoded'),
      `<g class="m" transform="translate(${20 + box.left} ${top + 14 + box.top})">${shapes}</g>`,
      legend(box.width - 120, top + 70),
      text(20, height - 14, wordsOf('#mask .dbsa-muted'), 'class="q"'),
    ];
    if (looked) {
      parts.push(titled(right, top, `Share of attention, per cent (${wordsOf('.dbsa-whose')})`), bars(right, top + 30, wide),
        paragraph(right, top + 190, wordsOf('.dbsa-barsaid'), 92));
      if (on) parts.push(titled(right, top + 246, `${on[0].toUpperCase()}${on.slice(1)}, by layer (down) and head (across)`),
        heads(right, top + 258, wide), paragraph(right, top + 478, wordsOf('.dbsa-headsaid'), 92));
    }
    const head = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`;
    return {written: `${head}<style>${looks()}</style>${parts.join('')}</svg>`, width, height};
  };
  const hand = (blob, name) => {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const save = async kind => {
    const {written, width, height} = svg(), name = `${wordsOf('#dbsa-answer .dbsa-label').replace(/[^\w-]+/g, '-').slice(0, 60) || 'answer'}.${kind}`;
    const blob = new Blob([written], {type: 'image/svg+xml'});
    if (kind === 'svg') return hand(blob, name);
    const image = new Image(), canvas = document.createElement('canvas');
    await new Promise((done, fail) => {
      [image.onload, image.onerror] = [done, fail];
      image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(written)}`;
    });
    [canvas.width, canvas.height] = [2 * width, 2 * height];
    canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob(found => hand(found, name), 'image/png');
  };
  document.addEventListener('click', event => {
    const kind = event.target.closest?.('[data-save]')?.dataset.save;
    if (kind) save(kind);
  });
  return {svg, save};
})();

// One block or similar row, token by token: see inside.py, which says what stands at the element.
window.dbsaInside ??= (() => {
  const {many} = dbsaPattern, {box} = dbsaCells;
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const LEVELS = 6, BINS = 200, MASK = 700, BARS = 720, WIDE = 1000;
  const HINT = 'Point at a token, here or in the picture, to read what it got and saw. A click keeps it.';
  // Whether the reader wants to see tokens; what is drawn, by element; the token that is kept and the one pointed at.
  let wanted = false, answer = null, at = null, over = null, from = null;
  const drawn = new WeakMap();

  const read = ({dataset: {shares, before, called, text, lengths}}) => {
    const got = [...dbsaHeads.wide(shares)].map(root => (root / 65535) ** 2), texts = [];
    const signs = [...(text ?? '')], runs = before.split('; ').filter(Boolean).map(run => {
      const [kind, tokens, ...name] = run.split(' ');
      return [kind, name.join(' '), Number(tokens)];
    });
    let end = 0;
    for (const length of (lengths ?? '').split(' ').filter(Boolean)) texts.push(signs.slice(end, end += Number(length)).join(''));
    return {got, texts, runs, called, seen: runs.reduce((sum, run) => sum + run[2], 0), most: Math.max(...got, 1e-9)};
  };
  const count = (number, what) => `${many(number)} ${what}${number === 1 ? '' : 's'}`;
  const visible = text => text.replaceAll('\n', '↵').replaceAll('\t', '⇥').replace(/^ +| +$/g, '') || '␣'.repeat(text.length);
  const words = ({got, texts, called, seen}, token) => {
    const text = texts[token] ? `“${visible(texts[token])}”, token` : 'Token';
    const before = seen ? `${count(seen, 'token')} before the ${called} and ` : '';
    return `${text} ${many(token + 1)} of ${many(got.length)}: ${dbsaHeads.percent(got[token])} of what the ${called} got. `
      + `It saw ${before}${many(token + 1)} of its own, itself included.`;
  };

  // --- drawing ------------------------------------------------------------------------------------------------------

  // Columns of the mask: what stood before is drawn narrower where its own would be hard to see.
  const columns = ({got, runs, seen}) => {
    const own = seen ? Math.max(0.4, got.length / (got.length + seen)) * MASK : MASK;
    let x = 0;
    const found = runs.map(([kind, , tokens]) => {
      const wide = (MASK - own) * tokens / seen, left = x;
      x += wide;
      return {kind, left, wide};
    });
    return {found, left: x, own};
  };
  const windowOf = data => {
    const size = data.got.length, {found, left, own} = columns(data), bins = Math.min(size, BINS), high = size / bins;
    let stairs = `M${left.toFixed(1)} 0`, bars = '';
    for (let token = 0; token < size; token++) stairs += `H${(left + own * (token + 1) / size).toFixed(1)}V${token + 1}`;
    for (let bin = 0; bin < bins; bin++) {
      const most = Math.max(...data.got.slice(Math.floor(bin * high), Math.max(Math.ceil((bin + 1) * high), 1)));
      if (most > 0) bars += box(BARS, bin * high, Math.max(1, (WIDE - BARS) * most / data.most), high);
    }
    const seen = found.map(run => `<path class="dbsa-${run.kind}" d="${box(run.left, 0, run.wide, size)}"/>`).join('');
    return `<svg class="dbsa-mask" viewBox="0 0 ${WIDE} ${size}" preserveAspectRatio="none" style="height:${Math.min(200, Math.max(90, 3 * size))}px" aria-hidden="true">`
      + `<path class="dbsa-none" d="${box(left, 0, own, size)}"/>${seen}<path class="dbsa-itself" d="${stairs}H${left.toFixed(1)}z"/>`
      + `<path class="dbsa-tokenbars" d="${bars}"/><path class="dbsa-tokenat" d=""/></svg>`;
  };
  const keysOf = ({runs, called, got}) => [
    ...runs.map(([kind, name, tokens]) => [kind, `${name}: ${count(tokens, 'token')}`]),
    ['itself', `the ${called} itself, up to each token: ${count(got.length, 'token')}`],
  ];
  const draw = inside => {
    const body = inside.querySelector('div'), data = read(inside);
    body.replaceChildren(body.querySelector('p'));  // what the server wrote
    body.insertAdjacentHTML('afterbegin', '<div class="dbsa-windowof"><span>What each token saw, tokens down</span>'
      + '<span>Share it got</span></div><div class="dbsa-window"></div><ul class="dbsa-windowkeys"></ul>');
    body.insertAdjacentHTML('beforeend', '<p class="dbsa-tokensaid"></p>'
      + '<div class="dbsa-tokens" tabindex="0" role="group" aria-label="Its text by token"></div>');
    const [frame, tokens] = [inside.querySelector('.dbsa-window'), inside.querySelector('.dbsa-tokens')];
    frame.innerHTML = windowOf(data);
    for (const [name, value] of Object.entries({role: 'slider', tabindex: 0, 'aria-valuemin': 1, 'aria-valuemax': data.got.length,
      'aria-valuenow': 1, 'aria-valuetext': 'No token is chosen', 'aria-label': `Token, of ${many(data.got.length)}`})) frame.setAttribute(name, value);
    inside.querySelector('.dbsa-windowkeys').replaceChildren(...keysOf(data).map(([kind, text]) => {
      const item = document.createElement('li'), key = document.createElement('span');
      key.className = `dbsa-key dbsa-${kind}`;
      item.append(key, text);
      return item;
    }));
    tokens.replaceChildren(...data.got.map((share, token) => {
      const one = document.createElement('span');
      one.textContent = data.texts.length ? data.texts[token].replaceAll('\n', '↵\n') : '·';
      one.style.setProperty('--dbsa-level', Math.round(LEVELS * Math.sqrt(share / data.most)));
      return one;
    }));
    drawn.set(inside, {...data, from: inside.dataset.shares});
    return drawn.get(inside);
  };

  // --- showing it ---------------------------------------------------------------------------------------------------

  const shown = () => all('.dbsa-entry.dbsa-open .dbsa-inside');
  const dataOf = inside => {
    const known = drawn.get(inside);
    return known?.from === inside.dataset.shares && inside.querySelector('.dbsa-tokens')?.children.length ? known : draw(inside);
  };
  const mark = inside => {
    const data = dataOf(inside), own = inside === from, token = own ? over ?? at : null, size = data.got.length;
    const [frame, tokens] = [inside.querySelector('.dbsa-window'), inside.querySelector('.dbsa-tokens')];
    const high = Math.max(1, size / 120), top = token === null ? 0 : Math.min(size - high, Math.max(0, token + 0.5 - high / 2));
    frame.querySelector('.dbsa-tokenat').setAttribute('d', token === null ? '' : box(0, top, WIDE, high));
    for (const one of all('.dbsa-on', tokens)) one.classList.remove('dbsa-on');
    if (token !== null) tokens.children[token].classList.add('dbsa-on');
    const said = token === null ? HINT : words(data, token);
    inside.querySelector('.dbsa-tokensaid').textContent = said;
    frame.setAttribute('aria-valuenow', (token ?? 0) + 1);
    frame.setAttribute('aria-valuetext', token === null ? 'No token is chosen' : said);
  };
  // Of a token that is chosen elsewhere its place in the text; the page itself does not move.
  const bring = inside => {
    const tokens = inside.querySelector('.dbsa-tokens'), one = tokens.querySelector('.dbsa-on');
    if (!one) return;
    const [frame, own] = [tokens, one].map(each => each.getBoundingClientRect());
    if (own.top < frame.top || own.bottom > frame.bottom) tokens.scrollTop += own.top - frame.top - frame.height / 3;
  };
  // What was opened is in sight within its list, as far as that is tall enough.
  const bringWhole = inside => {
    const list = inside.closest('.dbsa-list'), [frame, own] = [list, inside].map(each => each.getBoundingClientRect());
    if (wanted && own.bottom > frame.bottom) list.scrollTop += Math.min(own.top - frame.top, own.bottom - frame.bottom);
  };
  const show = () => {
    const about = document.querySelector('[data-answer]')?.dataset.answer ?? null;
    if (about !== answer) [answer, at, over, from] = [about, null, null, null];
    for (const inside of shown()) {
      if (inside.open !== wanted) inside.open = wanted;
      if (wanted) mark(inside);
    }
  };
  const point = (inside, token) => {
    if (token === over && (token === null || inside === from)) return;
    const last = from;
    if (token !== null && inside !== from) [from, at] = [inside, null];
    over = token;
    for (const one of new Set([last, from])) if (one?.isConnected && one.open) mark(one);
  };
  const choose = (inside, token) => {
    [at, over, from] = [inside === from && token === at ? null : token, null, inside];
    for (const one of shown()) if (one.open) mark(one);
  };

  // --- events -------------------------------------------------------------------------------------------------------

  const tokenOf = event => {
    const inside = event.target.closest?.('.dbsa-inside[open]');
    if (!inside || !drawn.has(inside)) return [null, null];
    const word = event.target.closest('.dbsa-tokens > span'), frame = event.target.closest('.dbsa-window svg');
    if (word) return [inside, [...word.parentElement.children].indexOf(word)];
    if (!frame) return [inside, null];
    const {top, height} = frame.getBoundingClientRect(), size = drawn.get(inside).got.length;
    return [inside, Math.min(size - 1, Math.max(0, Math.floor((event.clientY - top) / height * size)))];
  };
  document.addEventListener('pointermove', event => {
    if (event.pointerType === 'touch') return;
    const [inside, token] = tokenOf(event);
    point(inside, token);
    if (token !== null && event.target.closest('.dbsa-window')) bring(inside);
  });
  document.addEventListener('click', event => {
    const summary = event.target.closest?.('.dbsa-inside > summary');
    if (summary) {  // not by its own toggling, of which one is told later: the page may have shown it anew by then
      event.preventDefault();
      wanted = !summary.parentElement.open;
      show();
      return bringWhole(summary.parentElement);
    }
    const [inside, token] = tokenOf(event);
    if (token === null) return;
    choose(inside, token);
    if (event.target.closest('.dbsa-window')) bring(inside);
  });
  document.addEventListener('keydown', event => {
    if (event.key === 'Escape') [at, over, from] = [null, null, null];
    const inside = event.target.closest?.('.dbsa-inside[open]');
    if (!inside || !event.target.matches('.dbsa-window')) return;
    const now = inside === from && at !== null ? at + 1 : 0, to = dbsaMask.stepped(event, now, drawn.get(inside).got.length);
    if (to === null) return;
    event.preventDefault();
    if (to !== now) choose(inside, to - 1);
    bring(inside);
  });

  return {show};
})();

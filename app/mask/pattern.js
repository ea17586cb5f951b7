// Which block sees which while it is encoded, and that in words; a state is {total, encoded, sinks, window, was}: counts
// of blocks, and the set of those that the query read. Blocks are counted from 1 where nothing else is said.
window.dbsaPattern ??= (() => {
  const many = number => number.toLocaleString('en');

  // --- which cells are of which kind ----------------------------------------------------------------------------------

  // Of a row of squares of so many blocks, counted from 0: [kind, first column, end]. What comes later lies above.
  const strips = ({total, sinks, window}, factor, row) => {
    const first = row * factor, last = Math.min(total, first + factor) - 1, end = block => Math.floor(block / factor) + 1;
    const found = [['none', 0, row + 1]];
    if (last && window) found.push(['previous', end(Math.max(0, first - window)) - 1, end(last - 1)]);
    if (last && sinks) found.push(['sink', 0, end(Math.min(sinks, last) - 1)]);
    return [...found, ['itself', row, row + 1]];
  };
  const kindOf = ({sinks, window}, row, column) =>
    column > row ? '' : column === row ? 'itself' : column <= sinks ? 'sink' : column >= row - window ? 'previous' : 'none';
  // Of a rectangle of blocks, counted from 1: how many pairs are of which kind; `all` without those that come later.
  const countsOf = ({sinks, window}, [top, low], [left, right]) => {
    const counts = {itself: 0, previous: 0, sink: 0, all: 0}, within = (from, to) => Math.max(0, to - from + 1);
    for (let row = top; row <= low; row++) {
      counts.itself += left <= row && row <= right;
      counts.sink += within(left, Math.min(right, sinks, row - 1));
      counts.previous += within(Math.max(left, sinks + 1, row - window), Math.min(right, row - 1));
      counts.all += within(left, Math.min(right, row));
    }
    return counts;
  };

  // --- words ----------------------------------------------------------------------------------------------------------

  const run = ([from, to]) => from === to ? `block ${many(from)}` : `blocks ${many(from)} to ${many(to)}`;
  const first = sinks => sinks > 1 ? 'shared first blocks' : 'the shared first block';
  const FULL = 1e6;  // as many previous blocks stand for all of them
  const before = window => window >= FULL ? 'one before it' : window > 1 ? `the ${many(window)} before it` : 'the one before it';
  const upper = text => text[0].toUpperCase() + text.slice(1);
  const cellWords = ({sinks, window}, row, column) => {
    const kind = kindOf({sinks, window}, row, column), [one, other] = [many(row), many(column)];
    if (!kind) return `Block ${other} comes after block ${one}, which does not see it.`;
    if (kind === 'itself') return `Block ${one} sees itself.`;
    if (kind === 'none') return `Block ${one} does not see block ${other}.`;
    const why = kind === 'sink' ? (sinks > 1 ? 'a shared first block' : first(1)) : window >= FULL ? 'full attention' : window > 1 ? `one of ${before(window)}` : before(1);
    return `Block ${one} sees block ${other}: ${why}.`;
  };
  const areaWords = (state, rows, columns) => {
    const counts = countsOf(state, rows, columns), seen = counts.itself + counts.previous + counts.sink;
    const itself = rows.join() === columns.join(), others = itself ? 'one another' : run(columns);
    const verb = ([from, to], one, several) => from === to ? one : several;
    if (!counts.all) return `${upper(run(columns))} ${verb(columns, 'comes', 'come')} after ${run(rows)} and ${verb(columns, 'is', 'are')} not seen.`;
    if (!seen) return `${upper(run(rows))} ${verb(rows, 'does', 'do')} not see ${others}.`;
    const kinds = [['itself', 'of a block with itself'], ['sink', `with ${first(state.sinks)}`], ['previous', `with ${before(state.window)}`]];
    const parts = kinds.filter(([kind]) => counts[kind]).map(([kind, what]) => `${many(counts[kind])} ${what}`);
    const which = itself ? `Among ${run(rows)}` : `Of ${run(rows)} with ${others}`;
    return `${which}, ${many(seen)} of ${many(counts.all)} pairs are seen: ${parts.join(', ')}.`;
  };
  const queryWords = ({was}, [from, to]) => {
    if (from === to) return `This query ${was.has(from) ? 'read' : 'did not read'} block ${many(from)}.`;
    let read = 0;
    for (let block = from; block <= to; block++) read += was.has(block);
    return `This query read ${many(read)} of ${run([from, to])}.`;
  };
  const ofArea = (state, {rows, columns}) => {
    if (!rows) return queryWords(state, columns);
    return rows[0] === rows[1] && columns[0] === columns[1] ? cellWords(state, rows[0], columns[0]) : areaWords(state, rows, columns);
  };
  const sawWords = ({sinks, window}, block) => {
    const firsts = Math.min(sinks, block - 1), last = Math.max(firsts + 1, block - window);
    const runs = firsts + 1 === last && last < block ? [[1, block - 1]] : [[1, firsts], [last, block - 1]];
    const numbers = runs.flatMap(([from, to]) => to - from > 1 ? [`${many(from)} to ${many(to)}`] : from < to ? [many(from), many(to)] : from === to ? [many(from)] : []);
    return numbers.length ? `block${Math.min(block - 1, sinks + window) > 1 ? 's' : ''} ${numbers.join(', ')} and itself` : 'only itself';
  };
  // `told`: that it was read is told elsewhere.
  const ofBlock = (state, block, told) => {
    if (state.encoded && block > state.encoded) return `Block ${many(block)} is not encoded yet.`;
    const saw = `${state.encoded ? 'While it was encoded it saw' : 'It will see'} ${sawWords(state, block)}.`;
    if (!state.was.size || told) return saw;
    const why = state.was.has(block) ? 'was read, and is not among those listed' : 'was not read for this query';
    return `Block ${many(block)} ${why}. ${saw}`;
  };

  return {many, run, first, before, strips, kindOf, countsOf, ofArea, ofBlock};
})();

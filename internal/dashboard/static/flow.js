// Flow: where records come from, where they go, and how fast, how late and how well on each way. A click on a way listens there.

import { Poller } from './api.js';
import { tell } from './address.js';
import { h, s, attr, text, show, keyed, pooled } from './dom.js';
import { bytes, duration, full, level, millis, none, rate, visible } from './format.js';
import { Stream } from './stream.js';

const columns = { source: 0, queue: 1, analyzers: 2, sink: 3, dead: 3 };
const taps = { in: 'coming in', done: 'analyzed', dead: 'given up' };
const tapOf = (edge) => edge.tap || 'done'; // what an analyzer gets is seen once it is done

/** make builds the screen. */
export function make() {
  const lanes = [0, 1, 2, 3].map((i) => h('div', { class: `lane lane${i}` }));
  const curves = s('svg', { class: 'curves', 'aria-hidden': 'true' });
  const labels = h('div', { class: 'edges' });
  const map = h('div', { class: 'flowmap' }, curves, ...lanes, labels);
  const empty = h('p', { class: 'empty' }, 'Reading the flow.');

  const title = h('h2');
  const lines = h('ol', { class: 'lines' });
  const nothing = h('p', { class: 'empty' }, 'Listening. Nothing has passed here yet.');
  const tapCard = h('section', { class: 'card tap', 'aria-label': 'Records passing', hidden: true },
    h('div', { class: 'row between' }, title, h('button', { type: 'button', class: 'quiet', onclick: () => tap(null) }, 'Close')), lines, nothing);
  const root = h('div', { class: 'flow' }, h('h1', { class: 'sr' }, 'Flow'),
    h('section', { class: 'card', 'aria-label': 'Flow of records' }, h('h2', null, 'From the senders to the sinks', h('small', { class: 'faint' }, 'click on a rate to listen there')), empty, map), tapCard);

  let data = null;
  let tapped = null;
  let begun = false;
  let wanted = null; // the way that the address names
  const kept = [];
  const poll = new Poller('v1/flow', 1, (v, e) => {
    if (v) data = v;
    else if (!data) text(empty, e.words);
    update();
  });
  const stream = new Stream('', (record) => {
    kept.push(record);
    if (kept.length > 30) kept.shift();
    paintLines();
  });

  function tap(edge, quietly) {
    tapped = edge;
    if (!quietly) tell('flow', { way: edge && edge.key }, true);
    kept.length = 0;
    show(tapCard, edge);
    if (!edge) {
      stream.close();
    } else {
      text(title, `Records ${taps[tapOf(edge)]}`);
      stream.open(`v1/tail?edge=${encodeURIComponent(tapOf(edge))}&rate=10&recent=30`);
      paintLines();
    }
    update();
  }

  function paintLines() {
    show(nothing, kept.length === 0);
    pooled(lines, kept.slice().reverse(), () => h('li', null, h('time'), h('span', { class: 'sev' }), h('span', { class: 'svc' }), h('span', { class: 'body' })), (li, r) => {
      attr(li, 'data-level', r.level || level(r.severity));
      text(li.children[0], millis(r.time));
      attr(li.children[0], 'title', full(r.time));
      text(li.children[1], visible(r.severity || '·'));
      text(li.children[2], visible(r.service || ''));
      text(li.children[3], visible(String(r.body ?? '').slice(0, 500)));
    });
  }

  const states = { ok: 'ok', warning: 'warning', critical: 'critical', idle: 'idle' };

  function update() {
    if (!data) return;
    show(empty, false);
    const nodes = (data.nodes || []).slice(0, 40);
    lanes.forEach((lane, i) => keyed(lane, nodes.filter((n) => (columns[n.kind] ?? 0) === i), (n) => n.id,
      (n) => h('div', { class: 'node', 'data-kind': n.kind }, h('b'), h('small')), (node, n) => {
        attr(node, 'data-state', states[n.state] || 'ok');
        attr(node, 'data-id', n.id);
        text(node.firstChild, visible(n.label));
        text(node.lastChild, visible(n.detail || ''));
        attr(node, 'title', visible(`${n.label}: ${n.detail || ''}`));
      }));
    const ids = new Set(nodes.map((n) => n.id));
    const edges = (data.edges || []).filter((e) => ids.has(e.from) && ids.has(e.to));
    const name = (id) => (nodes.find((n) => n.id === id) || {}).label || id;
    keyed(labels, edges, (e) => `${e.from}>${e.to}`, () => {
      const b = h('button', { type: 'button', class: 'edge', onclick: () => tap(tapped && tapped.key === b.key ? null : { ...b.edge, key: b.key }) }, h('b'), h('small'), h('small'), h('small', { class: 'bad' }));
      return b;
    }, (b, e) => {
      b.edge = e;
      b.key = `${e.from}>${e.to}`;
      const said = [
        e.records_per_second === undefined ? none : rate(e.records_per_second), e.bytes_per_second ? `${bytes(e.bytes_per_second)}/s` : '',
        e.lag_seconds ? `waits ${duration(e.lag_seconds)}` : '', e.errors_per_second > 0 ? `${rate(e.errors_per_second)} errors` : '',
      ];
      said.forEach((words, i) => {
        text(b.children[i], words);
        show(b.children[i], words);
      });
      attr(b, 'aria-pressed', String(!!tapped && tapped.key === b.key));
      attr(b, 'aria-label', visible(`${name(e.from)} to ${name(e.to)}: ${said.filter(Boolean).join(', ')}. Listen here`));
    });
    place(edges);
    if (!begun && labels.firstElementChild) { // begin with what comes in, so that the screen shows at once what a click does
      begun = true;
      const way = [...labels.children].find((b) => b.key === wanted) || labels.firstElementChild;
      tap({ ...way.edge, key: way.key }, true);
    }
  }

  // place draws the ways between the nodes as they lie now: to the right on a wide screen, downwards on a narrow one.
  function place(edges) {
    const frame = map.getBoundingClientRect();
    if (frame.width === 0) return;
    attr(curves, 'width', Math.round(frame.width));
    attr(curves, 'height', Math.round(frame.height));
    const at = new Map([...map.querySelectorAll('.node')].map((n) => [n.getAttribute('data-id'), n.getBoundingClientRect()]));
    const down = getComputedStyle(map).flexDirection === 'column';
    const buttons = [...labels.children];
    const drawn = edges.map((e, i) => {
      const [a, b] = [at.get(e.from), at.get(e.to)];
      const [x0, y0] = down ? [a.left + a.width / 2, a.bottom] : [a.right, a.top + a.height / 2];
      const [x1, y1] = down ? [b.left + b.width / 2, b.top] : [b.left, b.top + b.height / 2];
      const back = down ? y1 < y0 : x1 < x0;
      const [fx0, fy0, fx1, fy1] = [x0 - frame.left, y0 - frame.top, x1 - frame.left, y1 - frame.top];
      // Where several ways end at one node, the label lies nearer to the other end.
      const shared = edges.filter((o) => o.to === e.to).length > 1;
      const fan = edges.filter((o) => o.from === e.from).length > 1;
      const part = shared && !fan ? 0.4 : fan && !shared ? 0.6 : 0.5;
      const mid = down ? (fy0 + fy1) / 2 : (fx0 + fx1) / 2;
      const curve = down ? `M${fx0} ${fy0}C${fx0} ${mid} ${fx1} ${mid} ${fx1} ${fy1}` : `M${fx0} ${fy0}C${mid} ${fy0} ${mid} ${fy1} ${fx1} ${fy1}`;
      const on = bezier(part, down ? [[fx0, fy0], [fx0, mid], [fx1, mid], [fx1, fy1]] : [[fx0, fy0], [mid, fy0], [mid, fy1], [fx1, fy1]]);
      const b1 = buttons[i];
      b1.style.left = `${on[0].toFixed(0)}px`;
      b1.style.top = `${on[1].toFixed(0)}px`;
      return { curve, e, back, pressed: b1.getAttribute('aria-pressed') === 'true' };
    });
    pooled(curves, drawn, () => s('path'), (p, d) => {
      attr(p, 'd', d.curve);
      attr(p, 'stroke-width', (1.5 + 1.3 * Math.log10(1 + (d.e.records_per_second || 0))).toFixed(1));
      attr(p, 'class', `${d.e.errors_per_second > 0.01 * (d.e.records_per_second || 0) ? 'bad ' : ''}${d.e.records_per_second > 0 ? 'moving' : 'still'}${d.pressed ? ' tapped' : ''}${d.e.tap === 'dead' ? ' todead' : ''}`);
    });
  }

  new ResizeObserver(() => data && place((data.edges || []).filter((e) => map.querySelector(`[data-id="${CSS.escape(e.from)}"]`) && map.querySelector(`[data-id="${CSS.escape(e.to)}"]`)))).observe(map);

  return {
    root,
    address: {
      values: () => ({ way: tapped ? tapped.key : wanted }),
      read(params) {
        wanted = params.get('way');
        const way = [...labels.children].find((b) => b.key === wanted);
        if (begun && (tapped ? tapped.key : null) !== wanted) tap(way ? { ...way.edge, key: way.key } : null, true);
      },
    },
    update() {},
    shown() {
      poll.start();
      if (tapped) stream.open();
    },
    hidden() {
      poll.stop();
      stream.close();
    },
  };
}

function bezier(t, [a, b, c, d]) {
  const u = 1 - t;
  return [0, 1].map((i) => u ** 3 * a[i] + 3 * u * u * t * b[i] + 3 * u * t * t * c[i] + t ** 3 * d[i]);
}

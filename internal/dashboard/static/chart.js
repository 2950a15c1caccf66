// A chart over time: panels one below the other with one time axis, lines, areas, limits, and marks for decisions.
// It is SVG, so that colours come from the style sheet and marks can be reached with the keyboard. Nodes are reused.

import { h, s, attr, text, show, pooled, keyed } from './dom.js';
import { clock, day, shifted } from './format.js';

const timeSteps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

/** ticks returns round numbers from 0 up to at least most, about n of them. kind 'whole' leaves out parts, 'time' takes steps that
 * people count seconds in. */
export function ticks(most, n, kind) {
  if (!(most > 0)) return [0, 1];
  const rough = most / n;
  const timely = kind === 'time' && rough > 1 ? timeSteps.find((v) => v >= rough * 0.999) : 0;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((v) => v >= rough * 0.999);
  if (kind === 'whole') step = Math.max(1, Math.ceil(step));
  if (timely) step = timely;
  const out = [];
  for (let i = 0; i * step < most + step * 0.98; i++) out.push(i * step);
  return out;
}

function timeTicks(from, to, n) {
  const step = timeSteps.find((v) => (to - from) / v <= n) || 172800;
  const shift = to - shifted(to).getTime() / 1000;
  const out = [];
  for (let t = Math.ceil((from - shift) / step) * step + shift; t <= to; t += step) out.push(t);
  return { step, at: out };
}

/** path writes a line through points of time and value, broken where a value is missing or the time jumps. */
function path(points, x, y, gap, stepped) {
  let d = '';
  let last = null;
  let py = 0;
  for (const [t, v] of points) {
    if (v === null || v === undefined || Number.isNaN(v)) {
      last = null;
      continue;
    }
    const [px, ny] = [x(t).toFixed(1), y(v).toFixed(1)];
    if (last === null || t - last > gap) d += `M${px} ${ny}`;
    else if (stepped) d += ny === py ? `H${px}` : `H${px}V${ny}`;
    else d += `L${px} ${ny}`;
    last = t;
    py = ny;
  }
  return d;
}

/** area closes a line down to the axis, stretch by stretch. */
function area(points, x, y, gap, stepped) {
  const base = y(0).toFixed(1);
  let d = '';
  let run = [];
  const end = () => {
    if (run.length > 1) d += `${path(run, x, y, Infinity, stepped)}V${base}H${x(run[0][0]).toFixed(1)}Z`;
    run = [];
  };
  for (const p of points) {
    if (p[1] === null || p[1] === undefined) {
      end();
      continue;
    }
    if (run.length && p[0] - run[run.length - 1][0] > gap) end();
    run.push(p);
  }
  end();
  return d;
}

const shapes = { up: 'M0-5L5 4H-5Z', down: 'M0 5L5-4H-5Z', note: 'M0-4.5L4.5 0 0 4.5-4.5 0Z' };

/** Chart draws into an element. The option grow says how many rem the rest of the screen takes: of what a tall screen has
 * beyond that, the chart takes its share. spec of update: {from, to, gap, panels: [{title, height, kind, least, format, lines, limits}],
 * marks: [{t, v, kind, title, text}]}; a line is {name, cls, points: [[t, v]], step, fill}, a limit {v, name, cls}. */
export class Chart {
  constructor(label, options = {}) {
    this.options = options;
    this.tip = h('div', { class: 'tip', hidden: true });
    this.plots = s('g');
    this.axis = s('g', { class: 'axis' });
    this.cross = s('line', { class: 'cross', visibility: 'hidden' });
    this.markGroup = s('g', { class: 'marks', role: 'group', 'aria-label': 'Decisions; left and right go from one to the next' });
    this.svg = s('svg', { class: 'chart', role: 'group', 'aria-label': label }, this.plots, this.axis, this.cross, this.markGroup);
    this.legend = h('div', { class: 'legend', 'aria-hidden': 'true' });
    this.box = h('div', { class: 'plot' }, this.svg, this.tip);
    this.root = h('figure', { class: 'chartbox' }, this.legend, this.box);
    this.svg.addEventListener('pointermove', (e) => this.hover(e));
    this.svg.addEventListener('pointerleave', () => this.leave());
    this.markGroup.addEventListener('keydown', (e) => this.walk(e));
    this.markGroup.addEventListener('focusin', (e) => this.focusMark(e.target));
    this.markGroup.addEventListener('focusout', () => this.leave());
    this.watcher = new ResizeObserver(() => this.draw());
    this.watcher.observe(this.box);
  }

  update(spec) {
    this.spec = spec;
    this.draw();
  }

  draw() {
    const { spec } = this;
    const width = this.box.clientWidth;
    if (!spec || width < 40) return;
    const em = parseFloat(getComputedStyle(this.box).fontSize) || 12;
    const small = width < 30 * em;
    const root = parseFloat(getComputedStyle(document.documentElement).fontSize) || 14;
    const grow = this.options.grow ? Math.min(2.6, Math.max(1, (window.innerHeight / root - this.options.grow) / 18)) : 1;
    const left = (this.options.left || 3.6) * em;
    const right = width - 0.9 * em;
    const x = (t) => left + (Math.max(0, t - spec.from) / (spec.to - spec.from || 1)) * (right - left);
    let top = 0.6 * em;
    this.geometry = [];
    for (const p of spec.panels) {
      const height = (small ? p.small || p.height * 0.8 : p.height * grow) * em;
      const inset = p.title ? 1.5 * em : 0.4 * em;
      const y0 = top + inset;
      const y1 = y0 + height;
      let most = p.least || 0;
      for (const line of p.lines) for (const [t, v] of line.points) if (t >= spec.from && v > most) most = v;
      for (const l of p.limits || []) if (l.always || l.v <= most * 1.6) most = Math.max(most, l.v);
      const marksAt = ticks(most, Math.max(2, Math.min(6, Math.round(height / (2.1 * em)))), p.kind);
      const full = marksAt[marksAt.length - 1];
      this.geometry.push({ p, y0, y1, title: top + 0.9 * em, at: marksAt, y: (v) => y1 - (Math.min(v, full * 1.02) / full) * (y1 - y0), full });
      top = y1 + 0.9 * em;
    }
    const bottom = top - 0.9 * em;
    const total = bottom + 1.9 * em;
    attr(this.svg, 'width', Math.round(width));
    attr(this.svg, 'height', Math.round(total));
    attr(this.svg, 'viewBox', `0 0 ${Math.round(width)} ${Math.round(total)}`);
    this.x = x;
    this.left = left;
    this.right = right;
    this.drawPanels(left, right, em);
    this.drawTime(left, right, bottom, em, spec);
    attr(this.cross, 'y1', this.geometry[0].y0);
    attr(this.cross, 'y2', bottom);
    this.drawMarks();
    this.drawLegend();
    if (this.at !== undefined && this.at !== null) this.tell(this.at);
  }

  drawPanels(left, right, em) {
    const { spec, x } = this;
    pooled(this.plots, this.geometry, () => s('g', null, s('text', { class: 'title' }), s('g', { class: 'grid' }), s('g'), s('g')),
      (g, geo) => {
        const [title, grid, lines, limits] = g.children;
        text(title, geo.p.title || '');
        attr(title, 'x', left);
        attr(title, 'y', geo.title);
        pooled(grid, geo.at, () => s('g', null, s('line'), s('text', { 'text-anchor': 'end' })), (tick, v) => {
          const y = geo.y(v);
          const [line, label] = tick.children;
          attr(line, 'x1', left); attr(line, 'x2', right); attr(line, 'y1', y.toFixed(1)); attr(line, 'y2', y.toFixed(1));
          attr(label, 'x', left - 0.5 * em); attr(label, 'y', (y + 0.33 * em).toFixed(1));
          text(label, geo.p.format(v));
        });
        pooled(lines, geo.p.lines, () => s('g', null, s('path'), s('path')), (l, line) => {
          const points = line.points;
          attr(l.firstChild, 'class', `fill ${line.cls}`);
          attr(l.firstChild, 'd', line.fill ? area(points, x, geo.y, spec.gap, line.step) : '');
          attr(l.lastChild, 'class', `line ${line.cls}`);
          attr(l.lastChild, 'd', path(points, x, geo.y, spec.gap, line.step));
        });
        const within = (geo.p.limits || []).filter((l) => l.v <= geo.full * 1.001);
        pooled(limits, within, () => s('g', null, s('line'), s('text', { 'text-anchor': 'end' })), (node, l) => {
          const y = geo.y(l.v);
          attr(node, 'class', `limit ${l.cls || ''}`);
          const [line, label] = node.children;
          attr(line, 'x1', left); attr(line, 'x2', right); attr(line, 'y1', y.toFixed(1)); attr(line, 'y2', y.toFixed(1));
          attr(label, 'x', right); attr(label, 'y', (y + (l.below ? 1.05 : -0.35) * em).toFixed(1));
          text(label, l.name);
        });
      });
  }

  drawTime(left, right, bottom, em, spec) {
    const label = spec.clock || ((t, step) => (step >= 86400 ? day(t) : clock(t, step < 60 ? 3 : 2)));
    const { step, at } = timeTicks(spec.from, spec.to, Math.max(2, Math.floor((right - left) / (6.5 * em))));
    pooled(this.axis, at, () => s('g', null, s('line'), s('text', { 'text-anchor': 'middle' })), (tick, t) => {
      const px = this.x(t).toFixed(1);
      const [line, name] = tick.children;
      attr(line, 'x1', px); attr(line, 'x2', px); attr(line, 'y1', bottom); attr(line, 'y2', bottom + 0.35 * em);
      attr(name, 'x', Math.min(right - 1.2 * em, Math.max(left, px))); attr(name, 'y', bottom + 1.5 * em);
      text(name, label(t, step));
    });
  }

  // drawMarks puts a mark for each decision; those too near to each other to tell apart become one.
  drawMarks() {
    const { spec } = this;
    const geo = this.geometry[this.geometry.length - 1];
    const shown = [];
    for (const m of spec.marks || []) {
      if (m.t < spec.from || m.t > spec.to) continue;
      const px = this.x(m.t);
      const last = shown[shown.length - 1];
      if (last && px - last.px < 9) {
        last.all.push(m);
        if (last.all.length > 400) last.all.shift();
        last.m = m;
      } else {
        shown.push({ px, m, all: [m], key: m.t });
      }
    }
    keyed(this.markGroup, shown, (k) => k.key, () => s('path', { tabindex: '-1', role: 'img' }), (node, k) => {
      const kinds = new Set(k.all.map((m) => m.kind));
      const kind = kinds.size === 1 ? k.m.kind : 'note';
      attr(node, 'class', `mark ${kind}`);
      attr(node, 'd', shapes[kind]);
      attr(node, 'transform', `translate(${this.x(k.m.t).toFixed(1)} ${geo.y(k.m.v).toFixed(1)})`);
      attr(node, 'aria-label', k.all.slice(-3).map((m) => `${clock(m.t)} ${m.title}: ${m.text}`).join('; '));
      node.mark = k;
    });
    const all = [...this.markGroup.children];
    const entry = all.find((n) => n === document.activeElement) || all[all.length - 1];
    for (const n of all) attr(n, 'tabindex', n === entry ? '0' : '-1');
  }

  drawLegend() {
    const lines = this.spec.panels.flatMap((p) => (p.title && p.lines.length === 1 ? [] : p.lines.filter((l) => l.name)));
    show(this.legend, lines.length > 0);
    pooled(this.legend, lines, () => h('span', null, h('i'), h('b')), (node, line) => {
      attr(node.firstChild, 'class', `key ${line.cls}`);
      text(node.lastChild, line.name);
    });
  }

  hover(e) {
    const at = e.clientX - this.svg.getBoundingClientRect().left;
    if (!this.spec || at < this.left - 4 || at > this.right + 4) {
      this.leave();
      return;
    }
    this.at = this.spec.from + ((at - this.left) / (this.right - this.left)) * (this.spec.to - this.spec.from);
    this.tell(this.at);
  }

  leave() {
    this.at = null;
    this.tip.hidden = true;
    attr(this.cross, 'visibility', 'hidden');
  }

  focusMark(node) {
    if (!node.mark) return;
    this.at = node.mark.m.t;
    this.tell(this.at, node.mark);
  }

  walk(e) {
    const all = [...this.markGroup.children];
    const i = all.indexOf(document.activeElement);
    const to = { ArrowLeft: i - 1, ArrowRight: i + 1, Home: 0, End: all.length - 1 }[e.key];
    if (to === undefined || !all[to]) return;
    e.preventDefault();
    for (const n of all) attr(n, 'tabindex', n === all[to] ? '0' : '-1');
    all[to].focus();
  }

  // tell writes what is known about a moment beside it.
  tell(t, mark) {
    const px = this.x(t);
    attr(this.cross, 'x1', px.toFixed(1));
    attr(this.cross, 'x2', px.toFixed(1));
    attr(this.cross, 'visibility', 'visible');
    const rows = [];
    for (const p of this.spec.panels) {
      for (const line of p.lines) {
        const v = near(line.points, t, this.spec.gap, line.step);
        if (v !== null && line.name) rows.push(h('p', null, h('i', { class: `key ${line.cls}` }), `${line.name} `, h('b', null, (p.tell || p.format)(v))));
      }
    }
    let found = mark;
    if (!found) for (const n of this.markGroup.children) if (Math.abs(n.mark.px - px) < 8) found = n.mark;
    const told = found ? found.all.slice(-4).map((m) => h('p', { class: 'why' }, h('b', null, `${clock(m.t)} ${m.title}`), ` ${m.text}`)) : [];
    if (found && found.all.length > 4) told.unshift(h('p', { class: 'faint' }, `${found.all.length} decisions, the last four:`));
    this.tip.replaceChildren(h('p', { class: 'faint' }, this.spec.clock ? this.spec.clock(t, 1) : `${day(t)} ${clock(t)}`), ...rows, ...told);
    this.tip.hidden = false;
    const wide = this.tip.offsetWidth;
    const beside = px + 14 + wide > this.box.clientWidth ? px - 14 - wide : px + 14;
    this.tip.style.left = `${Math.max(0, Math.min(beside, this.box.clientWidth - wide))}px`;
    this.tip.style.top = `${this.geometry[0].y0}px`;
  }
}

// near returns a line's value at a time, or null where there is none.
function near(points, t, gap, stepped) {
  let [lo, hi] = [0, points.length];
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (points[mid][0] <= t) lo = mid + 1;
    else hi = mid;
  }
  const before = points[lo - 1];
  const after = points[lo];
  const pick = !before || (!stepped && after && after[0] - t < t - before[0]) ? after : before;
  return pick && Math.abs(pick[0] - t) <= gap ? pick[1] ?? null : null;
}

/** pick makes a column of a timeline into the points of a line. */
export const pick = (rows, name) => rows.map((r) => [r.t, r[name]]);

/** ranges makes the row of buttons that says how far back charts look. update shows which one is on, and none beyond most seconds. */
export function ranges(choose) {
  const all = [[300, '5 m'], [900, '15 m'], [3600, '1 h'], [21600, '6 h'], [86400, '1 d'], [259200, '3 d']]
    .map(([seconds, name]) => ({ seconds, node: h('button', { type: 'button', onclick: () => choose(seconds) }, name) }));
  return {
    root: h('div', { class: 'segments ranges', role: 'group', 'aria-label': 'Time shown' }, all.map((b) => b.node)),
    update(current, most) {
      for (const b of all) {
        attr(b.node, 'aria-pressed', String(b.seconds === current));
        show(b.node, !most || b.seconds <= most);
      }
    },
  };
}

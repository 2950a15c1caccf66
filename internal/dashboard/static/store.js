// What the page knows, and the one stream that it comes from. Every list here has a bound, so a page that stays open for a week
// holds no more than one that was opened an hour ago.

import { call, get } from './api.js';
import { seconds } from './format.js';

const liveMost = 900; // seconds kept at full resolution
const decisionsMost = 300; // checks kept, the quiet ones included
const movesMost = 600; // decisions kept that changed something

/** store is all the page knows about the server. Screens read it; nobody else writes it. */
export const store = {
  ui: null, // GET /v1/ui
  stats: null, // the newest statistics
  live: [], // a point for each second, the oldest first
  series: null, // {seconds, step, rows}: the history for the range that is shown
  decisions: [], // the newest last
  moves: [], // the part of them that changed the pool or how it is steered
  conn: { state: 'connecting', since: Date.now(), text: '' }, // connecting, live, late, lost
  range: 900, // seconds that charts show
};

const listeners = new Set();
let due = false;

/** watch calls a function, once a frame at most, after something changed. It returns how to stop that. */
export function watch(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** changed tells everybody who watches, at the next frame. */
export function changed() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    for (const listener of [...listeners]) listener();
  });
}

/** now is the server's time in Unix seconds, as of the newest statistics. */
export const now = () => (store.stats ? seconds(store.stats.time) : Date.now() / 1000);

/** has says whether this process serves a screen. */
export const has = (screen) => !store.ui || !store.ui.screens || store.ui.screens.includes(screen);

/** decided says whether the autoscaler has decided anything yet. */
export const decided = () => !!(store.stats && store.stats.autoscaler && store.stats.autoscaler.last_decision);

/** mayAct says whether steering is allowed at all. */
export const mayAct = () => !(store.ui && store.ui.read_only);

/** whyNot says why it is not, for the title of a button; null where it is. */
export const whyNot = () => (mayAct() ? null : `read-only: ${store.ui.read_only_reason}`);

function point(st) {
  const [rates, pool, scaler] = [st.rates || {}, st.pool, st.autoscaler];
  return {
    t: seconds(st.time),
    depth: st.depth ?? null, flight: st.in_flight ?? null, wait: st.oldest_wait_seconds ?? null,
    in: rates.in_records_per_second ?? null, out: rates.out_records_per_second ?? null,
    size: pool ? pool.size : null, ready: pool ? pool.ready : null, busy: pool ? pool.busy : null,
    want: scaler && scaler.last_decision ? scaler.last_decision.named_size : null,
  };
}

function takeStats(st) {
  const restarted = store.stats && st.boot !== store.stats.boot;
  store.stats = st;
  const p = point(st);
  const last = store.live[store.live.length - 1];
  if (last && p.t <= last.t) {
    if (p.t < last.t - 5) store.live.length = 0; // the server's clock was set back
    else store.live.pop();
  }
  store.live.push(p);
  if (store.live.length > liveMost) store.live.splice(0, store.live.length - liveMost);
  if (restarted) refresh();
  changed();
}

const isMove = (d) => d.action !== 'hold' || d.mode !== undefined;

function takeDecisions(list) {
  const after = (kept) => (kept.length ? seconds(kept[kept.length - 1].time) : 0);
  const [a, b] = [after(store.decisions), after(store.moves)];
  for (const d of list) {
    d.t = seconds(d.time);
    if (d.t > a) store.decisions.push(slim(d));
    if (d.t > b && isMove(d)) store.moves.push(slim(d));
  }
  trim(store.decisions, decisionsMost);
  trim(store.moves, movesMost);
  changed();
}

function trim(list, most) {
  if (list.length > most) list.splice(0, list.length - most);
}

// slim drops what no screen shows.
const slim = (d) => ({
  t: d.t, time: d.time, depth: d.depth, size: d.size, named: d.named_size, next: d.new_size, action: d.action, mode: d.mode,
  clamps: (d.clamps || []).map((c) => c.name), reason: d.reason, policy: d.policy,
});

/** loadSeries fetches the history for the range that is shown. */
export async function loadSeries() {
  const range = store.range;
  try {
    const a = await get(`v1/series?seconds=${range}&points=600`);
    if (range !== store.range) return;
    const at = Object.fromEntries((a.columns || []).map((name, i) => [name, i]));
    const step = a.step_seconds || 10;
    const cell = (row, name) => (at[name] === undefined ? null : row[at[name]]);
    const perSecond = (v) => (v === null ? null : v / step);
    store.series = {
      seconds: range, step, loaded: performance.now(),
      rows: (a.rows || []).map((r) => ({
        t: seconds(cell(r, 'time')), depth: cell(r, 'depth'), flight: cell(r, 'in_flight'), wait: cell(r, 'oldest_wait_seconds'),
        in: perSecond(cell(r, 'in_records')), out: perSecond(cell(r, 'out_records')),
        size: cell(r, 'size'), ready: cell(r, 'ready'), busy: cell(r, 'busy'), want: cell(r, 'named_size'),
      })),
    };
    // A process that has just started has little to show: begin with a range that it fills.
    if (!chosen && store.series.rows.every((r) => r.t > now() - 700)) store.range = 300;
    chosen = true;
    changed();
  } catch { /* the charts then begin when the page was opened */ }
}

let chosen = false; // whether the range has been chosen, by us or by a person

/** setRange changes how far back charts look. */
export function setRange(range) {
  chosen = true;
  store.range = range;
  loadSeries();
  changed();
}

/** timeline is the history, and then the live points, of the range that is shown. */
export function timeline() {
  const from = now() - store.range;
  const live = store.live;
  const begin = live.length ? live[0].t : Infinity;
  const old = store.series ? store.series.rows.filter((r) => r.t >= from - store.series.step && r.t < begin) : [];
  // Live points thinned to the resolution of a screen, by the worst of each bucket.
  const every = Math.max(1, Math.ceil(store.range / 900));
  if (every === 1) return old.concat(live.filter((p) => p.t >= from));
  return old.concat(thinned(live.filter((p) => p.t >= from), every));
}

function thinned(points, every) {
  const out = [];
  for (const p of points) {
    const bucket = Math.floor(p.t / every);
    const last = out[out.length - 1];
    if (last && last.bucket === bucket) {
      const [depth, wait] = [Math.max(last.depth, p.depth), Math.max(last.wait, p.wait)];
      Object.assign(last, p, { bucket, depth, wait });
    } else {
      out.push({ ...p, bucket });
    }
  }
  return out;
}

/** sizes is the size of the pool over a timeline, or with 'want' the one that the policy named. Between the points of the history the
 * decisions say when it changed. */
export function sizes(rows, name = 'size') {
  const points = rows.map((r) => [r.t, r[name]]);
  const until = store.live.length ? store.live[0].t : now();
  const from = rows.length ? rows[0].t : until;
  for (const d of store.moves) if (d.t > from && d.t < until && d.action !== 'hold') points.push([d.t, name === 'want' ? d.named : d.next]);
  return points.sort((a, b) => a[0] - b[0]);
}

/** gap is the time between two points from which on a line is broken, in seconds. */
export const gap = () => 3.5 * Math.max(store.series ? store.series.step : 10, 3);

async function loadDecisions() {
  try {
    const [all, moves] = await Promise.all([
      get('v1/decisions?limit=100'), get(`v1/decisions?actions=1&limit=${movesMost}`)]);
    const ready = (list) => (list || []).map((d) => slim(Object.assign(d, { t: seconds(d.time) })));
    store.settings = all.settings || null;
    store.decisions = ready(all.decisions);
    store.moves = ready(moves.decisions).filter((d) => d.action !== 'hold' || d.mode !== undefined);
    trim(store.moves, movesMost);
    changed();
  } catch { /* this process has no autoscaler */ }
}

/** refresh asks anew for all that the stream does not bring. */
export async function refresh() {
  try {
    store.ui = await get('v1/ui');
    changed();
  } catch { /* asked again when the stream is back */ }
  await Promise.all([loadSeries(), has('autoscaler') ? loadDecisions() : null]);
}

// ---- the stream ----

let source = null;
let wantRows = false;
let heard = 0; // when anything came last, by performance.now
let failures = 0;
let timer = 0;

function setConn(state, text = '') {
  if (store.conn.state !== state) store.conn = { state, since: Date.now(), text };
  else store.conn.text = text;
  changed();
}

/** open begins to listen. It goes on by itself from then on: over restarts, refusals and sleep. */
export function open() {
  close();
  const es = new EventSource(wantRows ? 'v1/events?rows=1' : 'v1/events');
  source = es;
  heard = performance.now();
  const take = (name, f) => es.addEventListener(name, (e) => {
    if (es !== source) return;
    heard = performance.now();
    failures = 0;
    let value;
    try {
      value = JSON.parse(e.data);
    } catch {
      return; // a line that was cut; the next second brings another
    }
    f(value);
    if (store.conn.state !== 'live') setConn('live');
  });
  take('stats', takeStats);
  take('decisions', (v) => takeDecisions(v.decisions || []));
  take('point', () => {
    const s = store.series;
    if (s && performance.now() - s.loaded > 1000 * Math.max(60, s.step)) loadSeries();
  });
  es.addEventListener('open', () => {
    heard = performance.now();
  });
  es.addEventListener('error', () => {
    if (es !== source) return;
    setConn(store.stats ? 'lost' : 'connecting', 'the stream of events broke off');
    again();
  });
}

function close() {
  clearTimeout(timer);
  if (source) source.close();
  source = null;
}

// again tries anew after a pause that grows to five seconds, and tells a refusal from an absence.
function again() {
  close();
  const wait = Math.min(5000, 500 * 2 ** Math.min(failures, 5)) * (0.8 + 0.4 * Math.random());
  failures++;
  timer = setTimeout(async () => {
    try {
      await call('GET', 'v1/ui'); // signed out: this leads to the sign-in
    } catch (e) {
      if (e.status === 0 || e.status >= 500) {
        setConn(store.stats ? 'lost' : 'connecting', e.message);
        again();
        return;
      }
    }
    open();
  }, wait);
}

/** rows asks for the rows of the analyzers as well, or no longer. */
export function rows(wanted) {
  if (wantRows === wanted) return;
  wantRows = wanted;
  if (source) open();
}

/** start loads everything and keeps an eye on the stream. */
export function start() {
  refresh();
  open();
  let hiddenSince = 0;
  setInterval(() => {
    // A tab that nobody looks at gives its connection back after a while: browsers allow six for all tabs together.
    if (document.hidden) {
      hiddenSince ||= performance.now();
      if (source && performance.now() - hiddenSince > 30000) close();
      return;
    }
    hiddenSince = 0;
    if (!source) return;
    const silent = performance.now() - heard;
    if (silent > 20000) {
      setConn('lost', 'nothing was heard for 20 seconds');
      again();
    } else if (silent > 4000 && store.conn.state === 'live') {
      setConn('late');
    }
  }, 1000);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && !source) {
      clearTimeout(timer);
      open();
      refresh();
    }
  });
  // A page that was left may be kept for the way back; it must not keep its connection.
  window.addEventListener('pagehide', close);
  window.addEventListener('pageshow', (e) => {
    if (!e.persisted) return;
    open();
    refresh();
  });
  window.addEventListener('online', () => {
    if (store.conn.state !== 'live') open();
  });
}

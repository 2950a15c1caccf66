// Autoscaler: what the pool was asked to be, what it was, and why; how to steer it; and what other policies would have cost.

import { Poller } from './api.js';
import { h, attr, text, show, keyed, pooled, icon } from './dom.js';
import { count, duration, moment, none, percent, sentence, short } from './format.js';
import { rangeOf } from './address.js';
import { Chart, pick, ranges } from './chart.js';
import { store, timeline, now, gap, decided, sizes } from './store.js';
import { steering } from './steering.js';
import { settings } from './settings.js';

const bindings = {
  deadline: 'the deadline', threshold: 'a threshold', max_size: 'the upper bound', min_size: 'the lower bound', cooldown: 'the cooldown',
  governor: 'the governor', budget: 'the budget', paused: 'a pause by hand', forced: 'a size by hand', unknown: 'an unknown depth',
  policy: 'the policy', depth_unknown: 'an unknown depth', seasonal: 'what comes at this time', dry_run: 'a dry run',
};

/** factText writes a fact by the unit in its name. */
function factText(name, v) {
  if (typeof v !== 'number') return String(v);
  if (name.endsWith('_seconds')) return duration(v);
  if (name.endsWith('_per_second')) return `${short(v)}/s`;
  if (name.endsWith('_per_analyzer') || name.endsWith('_per_worker')) return `${short(v)}/s each`;
  if (name.endsWith('_share')) return percent(v);
  return short(v);
}

const factNames = {
  rate_per_second: 'one analyzer does', arrivals_per_second: 'arrivals', lead_seconds: 'a start takes', slack_seconds: 'time to spare', effective_workers: 'analyzers at work',
  missing_workers: 'without effect', arrivals_workers: 'needed for arrivals', deadline_records: 'records due', deadline_seconds: 'due within',
};
// What people ask for first; the rest is a click away.
const firstFacts = ['rate_per_second', 'arrivals_per_second', 'deadline_records', 'deadline_seconds', 'slack_seconds', 'lead_seconds'];

const factName = (name) => factNames[name] || name.replace(/_(seconds|per_second)$/, '').replaceAll('_', ' ');

const kindOf = (d) => (d.action === 'up' ? 'up' : d.action === 'down' ? 'down' : 'note');
const titleOf = (d) => (d.action === 'hold' ? d.mode || 'hold' : `${d.size} → ${d.next}`);

/** make builds the screen. */
export function make() {
  const chart = new Chart('Backlog above, pool size below, with a mark for each decision', { grow: 44 });
  let measure = '';
  const choice = (name, label) => h('button', { type: 'button', 'aria-pressed': 'false', onclick: () => { measure = name; update(); } }, label);
  const [byWait, byDepth] = [choice('wait', 'Oldest wait'), choice('depth', 'Depth')];
  const ranged = rangeOf('autoscaler', 259200);
  const range = ranges(ranged.choose);

  const answer = h('p', { class: 'answer' });
  const because = h('p', { class: 'because' });
  const [more, fewer] = [h('p'), h('p')];
  const binding = h('span', { class: 'badge' });
  const [facts, moreFacts] = [h('dl', { class: 'facts' }), h('dl', { class: 'facts' })];
  const moreBox = h('details', null, h('summary', null, 'What else it believed'), moreFacts);
  const steer = steering();
  const form = settings();

  const moving = h('input', { type: 'checkbox', checked: true, id: 'only-moves' });
  moving.addEventListener('change', () => update());
  const body = h('tbody');
  const noDecisions = h('p', { class: 'empty' }, 'No decision has changed the pool yet.');

  const leagueBody = h('tbody');
  const leagueNote = h('p', { class: 'hint' });
  const leagueTable = h('table', { class: 'league' }, h('caption', { class: 'sr' }, 'Policies on the same traffic'),
    h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Policy'), ...['Size now', 'Analyzer-hours', 'Cost ratio', 'Late', 'Wait p99', 'Reversals'].map((n) => h('th', { scope: 'col', class: 'num' }, n)))), leagueBody);

  const root = h('div', { class: 'autoscaler' }, h('h1', { class: 'sr' }, 'Autoscaler'),
    h('div', { class: 'cards main' },
      h('section', { class: 'card', 'aria-label': 'Backlog and pool' },
        h('h2', null, 'Backlog and pool', h('div', { class: 'segments', role: 'group', 'aria-label': 'Backlog as' }, byWait, byDepth), range.root), chart.root),
      h('section', { class: 'card explain', 'aria-label': 'Why this many' },
        h('h2', null, 'Why this many?', binding), answer, because,
        h('h3', null, 'Why not more?'), more, h('h3', null, 'Why not fewer?'), fewer, facts, moreBox)),
    h('div', { class: 'cards main' },
      h('section', { class: 'card', 'aria-label': 'Decisions' },
        h('h2', null, 'Decisions', h('label', { class: 'check' }, moving, ' only changes')),
        h('div', { class: 'scroll short', tabindex: '0', role: 'region', 'aria-label': 'List of decisions' },
          h('table', { class: 'decisions' }, h('caption', { class: 'sr' }, 'Decisions, the newest first'),
            h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Time'), h('th', { scope: 'col', class: 'num' }, 'Depth'), h('th', { scope: 'col' }, 'Size'), h('th', { scope: 'col' }, 'Reason'))), body), noDecisions)),
      steer.root),
    h('div', { class: 'cards two' },
      form.root,
      h('section', { class: 'card', 'aria-label': 'League' }, h('h2', null, 'Other policies on this traffic'),
        h('div', { class: 'scroll' }, leagueTable), leagueNote)));

  let asked = null;
  const explain = new Poller(() => (decided() ? 'v1/explain' : null), 2, (v) => {
    if (v) asked = v;
    paintExplain();
  });
  const league = new Poller('v1/league', 5, paintLeague);

  function paintExplain() {
    const scaler = store.stats && store.stats.autoscaler;
    if (!scaler) return;
    text(answer, `${count(store.stats.pool ? store.stats.pool.size : scaler.current_size)} analyzers`);
    text(because, sentence(asked ? asked.text : scaler.last_decision ? scaler.last_decision.reason : ''));
    text(more, sentence((asked && asked.why_not_more) || none));
    text(fewer, sentence((asked && asked.why_not_fewer) || none));
    show(binding, asked && asked.binding);
    if (asked) text(binding, `bound by ${bindings[asked.binding] || asked.binding.replaceAll('_', ' ')}`);
    const known = Object.entries((asked && asked.facts) || {}).filter(([k]) => k !== 'slo_seconds');
    const preferred = known.filter(([k]) => firstFacts.includes(k)).sort(([a], [b]) => firstFacts.indexOf(a) - firstFacts.indexOf(b));
    const head = preferred.length ? preferred : known.slice(0, 6);
    const rest = known.filter((f) => !head.includes(f)).slice(0, 30);
    for (const [dl, list] of [[facts, head], [moreFacts, rest]]) {
      pooled(dl, list.flatMap(([k, v]) => [factName(k), factText(k, v)]), (_, i) => h(i % 2 ? 'dd' : 'dt'), (node, v) => text(node, v));
    }
    show(moreBox, rest.length > 0);
  }

  function paintLeague(v, e) {
    if (e) {
      show(leagueTable, false);
      text(leagueNote, e.status === 404 ? e.words : 'The league cannot be read now.');
      return;
    }
    show(leagueTable, true);
    const score = (row) => (v.last_hour && v.last_hour.seconds > 60 ? row.last_hour : row.total);
    const all = (v.policies || []).map((p) => ({ name: p.policy, charge: p.in_charge, size: p.size, out: p.dropped_out, ...score(p) }))
      .sort((a, b) => a.late_share - b.late_share || a.worker_hours - b.worker_hours);
    if (v.real) all.push({ name: 'this pool, measured', real: true, size: v.real.size, ...score(v.real) });
    pooled(leagueBody, all, () => h('tr', null, h('th', { scope: 'row' }, h('span'), h('small')), ...[0, 1, 2, 3, 4, 5].map(() => h('td', { class: 'num' }))), (tr, r) => {
      attr(tr, 'class', r.charge ? 'charge' : r.real ? 'real' : null);
      text(tr.children[0].firstChild, r.name);
      text(tr.children[0].lastChild, r.out ? ` out: ${r.out}` : r.charge ? ' in charge' : '');
      const cells = [count(r.size), r.worker_hours === undefined ? none : r.worker_hours.toFixed(r.worker_hours < 10 ? 2 : 1), r.cost_ratio ? `${r.cost_ratio.toFixed(2)} ×` : none,
        r.late_share === null ? 'unknown' : percent(r.late_share), r.real ? none : duration(r.wait_p99_seconds), r.real ? none : count(r.reversals)];
      cells.forEach((c, i) => text(tr.children[i + 1], c));
      attr(tr.children[4], 'data-state', r.late_share > 0.01 ? 'warning' : null);
    });
    const span = v.last_hour && v.last_hour.seconds > 60 ? v.last_hour : v.total || { seconds: 0, records: 0 };
    text(leagueNote, v.waiting_for ? `Nothing is scored yet: waiting for ${v.waiting_for}.`
      : `The row measured is this pool; all others are simulated. Each replays the same ${count(span.records)} records of the last ${duration(span.seconds)} beside the pool, without touching it. Cost ratio: analyzer time over what the records need at least. Late: waited longer than ${duration(v.slo_seconds)}.${v.since_why ? ` Begun anew at ${moment(v.since, now())}: ${v.since_why}.` : ''}`);
  }

  function paintDecisions() {
    const list = (moving.checked ? store.moves : store.decisions).slice(-200).reverse();
    show(noDecisions, list.length === 0);
    const t = now();
    keyed(body, list, (d) => d.time + d.action, () => h('tr', null, h('td', { class: 'time' }), h('td', { class: 'num' }), h('td', { class: 'size' }, icon('note'), h('span')), h('td', { class: 'why' })), (tr, d) => {
      if (tr.told === d) return;
      tr.told = d;
      attr(tr, 'data-action', d.action);
      text(tr.children[0], moment(d.t, t));
      text(tr.children[1], d.depth === null ? 'unknown' : count(d.depth));
      tr.children[2].replaceChildren(icon(kindOf(d)), h('span', null, d.action === 'hold' ? String(d.next) : titleOf(d)));
      text(tr.children[3], d.reason);
      for (const name of d.clamps) tr.children[3].append(' ', h('span', { class: 'badge' }, name.replaceAll('_', ' ')));
    });
  }

  function paintChart(st) {
    const all = timeline();
    const to = now();
    const scaler = st.autoscaler || {};
    const slo = (store.ui && store.ui.slo_seconds) || 0;
    const set = store.settings || {};
    const showing = measure || (slo ? 'wait' : 'depth');
    attr(byWait, 'aria-pressed', String(showing === 'wait'));
    attr(byDepth, 'aria-pressed', String(showing === 'depth'));
    const limits = showing === 'wait' ? (slo ? [{ v: slo, name: `deadline ${duration(slo)}`, cls: 'deadline' }] : [])
      : set.policy === 'threshold' ? [{ v: set.scale_up_threshold, name: `grows at ${short(set.scale_up_threshold)}`, cls: 'deadline' },
        { v: set.scale_down_threshold, name: `shrinks at ${short(set.scale_down_threshold)}`, cls: 'low', below: true }] : [];
    const top = showing === 'wait'
      ? { title: 'oldest wait', format: duration, least: 1, kind: 'time', lines: [{ name: 'oldest wait', cls: 'c-wait', points: pick(all, 'wait'), fill: true }], limits }
      : { title: 'records waiting', format: short, least: 1, kind: 'whole', lines: [{ name: 'waiting', cls: 'c-depth', points: pick(all, 'depth'), fill: true }], limits };
    const size = sizes(all);
    const at = (t) => {
      let v = null;
      for (const p of size) {
        if (p[0] > t + 1) break;
        v = p[1];
      }
      return v;
    };
    const marks = store.moves.filter((d) => d.t >= to - store.range).map((d) => ({
      t: d.t, v: d.action === 'hold' ? at(d.t) ?? d.next : d.next, kind: kindOf(d), title: titleOf(d), text: d.reason }));
    chart.update({
      from: to - store.range, to, gap: gap(), marks,
      panels: [{ ...top, height: 11.5, small: 7 },
        { title: 'analyzers', height: 12.5, small: 8, least: 1, kind: 'whole', format: short,
          lines: [{ name: 'actual', cls: 'c-size', points: size, fill: true, step: true }, { name: 'desired', cls: 'c-want', points: sizes(all, 'want'), step: true }],
          limits: [{ v: scaler.max_size, name: `max ${scaler.max_size}` }, { v: scaler.min_size, name: `min ${scaler.min_size}`, always: true, below: false }] }],
    });
  }

  function update() {
    const st = store.stats;
    if (!st || !st.autoscaler) return;
    range.update(store.range, store.ui ? store.ui.history_seconds : 0);
    paintExplain();
    paintChart(st);
    paintDecisions();
    steer.update();
    form.update();
  }

  return {
    root,
    address: ranged.address,
    update,
    shown() {
      explain.start();
      league.start();
      form.shown();
    },
    hidden() {
      explain.stop();
      league.stop();
    },
  };
}

// Overview: four questions, answered without a click. Is it healthy, does it keep up, how many analyzers run and why, what is in
// the logs. Below them the same over time, and the account.

import { Poller } from './api.js';
import { h, attr, text, show, pooled } from './dom.js';
import { bytes, clock, count, duration, full, level, millis, none, percent, plural, rate, sentence, short, verdicts, visible } from './format.js';
import { rangeOf } from './address.js';
import { Chart, pick, ranges } from './chart.js';
import { store, timeline, now, gap, setRange, has, decided, sizes } from './store.js';
import { Stream } from './stream.js';

const deadline = () => (store.ui && store.ui.slo_seconds) || 0;

const paceWords = { idle: 'Idle', keeping_up: 'Keeping up', behind: 'Falling behind', stalled: 'Stalled', unknown: 'Unknown' };
const paceStates = { idle: 'ok', keeping_up: 'ok', behind: 'warning', stalled: 'critical', unknown: 'warning' };

function card(question, ...children) {
  const answer = h('p', { class: 'answer' });
  return { answer, root: h('section', { class: 'card', 'aria-label': question }, h('h2', null, question), answer, ...children) };
}

const fact = (name) => {
  const value = h('dd');
  return { value, nodes: [h('dt', null, name), value] };
};

/** make builds the screen. */
export function make() {
  // Healthy?
  const reasons = h('ul', { class: 'reasons' });
  const [lost, durability, disk, stored] = ['Lost', 'A 2xx means', 'Disk free', 'Queue'].map(fact);
  const health = card('Is it healthy?', reasons, h('dl', { class: 'facts' }, [lost, disk, stored, durability].flatMap((f) => f.nodes)));

  // Keeping up?
  const pace = h('p', { class: 'because' });
  const gauge = h('i');
  const gaugeBox = h('div', { class: 'gauge', role: 'meter', 'aria-label': 'Oldest wait', 'aria-valuemin': '0' }, gauge);
  const gaugeName = h('p', { class: 'gaugename' }, h('span'), h('span'));
  const [waiting, inHand, pushed] = ['Waiting', 'In hand', 'Pushed back'].map(fact);
  const spans = [['1h', 'Late, 1 h'], ['24h', 'Late, 24 h'], ['7d', 'Late, 7 d']].map(([name, label]) => {
    const f = { name, ...fact(label), records: h('span'), share: h('span') };
    f.value.append(f.records, ' ', f.share);
    return f;
  });
  const waits = fact('Wait p50, p99');
  const keeping = card('Is it keeping up?', pace, gaugeName, gaugeBox, h('dl', { class: 'facts kept' }, [...spans, waits].flatMap((f) => f.nodes)),
    h('dl', { class: 'facts' }, [waiting, inHand, pushed].flatMap((f) => f.nodes)));

  // How many, and why?
  const dots = h('div', { class: 'dots', 'aria-hidden': 'true' });
  const why = h('p', { class: 'because' });
  const [bounds, changes] = ['Bounds', 'Changes'].map(fact);
  const own = h('div', { class: 'foot' }, h('dl', { class: 'facts' }, [bounds, changes].flatMap((f) => f.nodes)),
    h('a', { class: 'more', href: '#/autoscaler' }, 'Why not more, why not fewer'));
  const theirs = h('a', { class: 'more foot', href: '#/analyzers' }, 'Which ones, and why');
  const analyzers = card('How many analyzers, and why?', dots, why, own, theirs);

  // What is in the logs?
  const bar = h('div', { class: 'stack', 'aria-hidden': 'true' });
  const severities = h('ul', { class: 'split' });
  const services = h('ul', { class: 'top' });
  const logs = card('What is in my logs?', bar, h('div', { class: 'splitbox' }, severities), h('h3', null, 'Most records from'), services);

  const [inNow, outNow, waitNow, sizeNow] = [0, 0, 0, 0].map(() => h('b'));
  const [inText, waitText, sizeText] = [['in ', inNow], ['wait ', waitNow], ['analyzers ', sizeNow]].map((parts) => h('span', null, parts));
  const flowChart = new Chart('Records in and out over time', { grow: 37 });
  const backChart = new Chart('Oldest wait, depth and pool size over time', { grow: 37 });
  const ranged = rangeOf('overview', 3600);
  const range = ranges(ranged.choose);

  const terms = ['accepted', 'completed', 'dead', 'waiting', 'in flight'].map((name) => ({ value: h('b'), name }));
  const sign = (t) => h('span', { class: 'sign', 'aria-hidden': 'true' }, t);
  const term = (t) => h('span', { class: 'term' }, t.value, h('small', null, t.name));
  const lostTerm = { value: h('b'), name: 'lost' };
  const account = h('section', { class: 'card account', 'aria-label': 'The account' }, h('h2', null, 'The account, in records'),
    h('p', { class: 'equation' }, term(terms[0]), sign('='), term(terms[1]), sign('+'), term(terms[2]), sign('+'), term(terms[3]), sign('+'), term(terms[4]),
      h('span', { class: 'term lost' }, lostTerm.value, h('small', null, 'lost'))),
    h('p', { class: 'hint' }, 'It is closed at every moment. To follow single records from the sender to the result: ', h('code', null, 'sluice emit --verify')));

  const latest = h('ol', { class: 'lines' });
  const quiet = h('p', { class: 'empty' }, 'Nothing has come in yet.');
  const latestCard = h('section', { class: 'card latest', 'aria-label': 'Latest records' },
    h('h2', null, 'Latest records ', h('a', { class: 'more', href: '#/tail' }, 'Live tail')), latest, quiet);

  const root = h('div', { class: 'overview' }, h('h1', { class: 'sr' }, 'Overview'),
    h('div', { class: 'cards' }, health.root, keeping.root, analyzers.root, logs.root),
    h('div', { class: 'cards two' },
      h('section', { class: 'card', 'aria-label': 'Throughput' },
        h('h2', null, 'Throughput', h('span', { class: 'now' }, inText, ' out ', outNow)), flowChart.root),
      h('section', { class: 'card', 'aria-label': 'Backlog and pool' },
        h('h2', null, 'Backlog and pool', h('span', { class: 'now' }, waitText, ' ', sizeText), range.root), backChart.root)),
    h('div', { class: 'cards two' }, account, latestCard));

  // ---- what the stream does not bring ----
  let totals = null;
  let explained = '';
  const results = new Poller(() => (store.stats && store.stats.depth !== undefined ? 'v1/results' : null), 5, (v) => {
    if (v) totals = { severity: v.by_severity || {}, service: v.by_service || {}, records: v.records };
    paintLogs();
  });
  const explain = new Poller(() => (decided() ? 'v1/explain' : null), 3, (v) => {
    if (v) explained = v.text || '';
  });
  const lines = [];
  const sample = new Stream('v1/tail?edge=in&rate=3&recent=12', (record) => {
    lines.push(record);
    if (lines.length > 12) lines.shift();
    paintLines();
  });

  function paintLines() {
    show(quiet, lines.length === 0);
    const room = window.innerHeight > 1500 ? 12 : 7;
    pooled(latest, lines.slice(-room).reverse(), () => h('li', null, h('time'), h('span', { class: 'sev' }), h('span', { class: 'svc' }), h('span', { class: 'body' })), (li, r) => {
      const [time, sev, svc, body] = li.children;
      attr(li, 'data-level', r.level || level(r.severity));
      text(time, millis(r.time));
      attr(time, 'title', full(r.time));
      text(sev, visible(r.severity || '·'));
      text(svc, visible(r.service || ''));
      text(body, visible(String(r.body ?? '').slice(0, 300)));
    });
  }

  function paintLogs() {
    const order = ['fatal', 'error', 'warn', 'info', 'debug', 'other'];
    const sums = Object.fromEntries(order.map((l) => [l, 0]));
    let all = 0;
    if (totals) {
      for (const [name, t] of Object.entries(totals.severity)) {
        sums[level(name)] += t.records;
        all += t.records;
      }
    }
    const bad = sums.fatal + sums.error;
    text(logs.answer, !totals ? none : all === 0 ? 'Nothing yet' : bad === 0 ? 'No errors' : `${percent(bad / all)} errors`);
    attr(logs.answer, 'data-state', null);
    const present = order.filter((l) => sums[l] > 0);
    pooled(bar, present, () => h('i'), (i, l) => {
      attr(i, 'data-level', l);
      i.style.flexGrow = String(Math.max(sums[l] / all, 0.006));
    });
    pooled(severities, present, () => h('li', null, h('i'), h('span'), h('b'), h('small')), (li, l) => {
      attr(li, 'data-level', l);
      text(li.children[1], l === 'other' ? 'no level' : l);
      text(li.children[2], short(sums[l]));
      text(li.children[3], percent(sums[l] / all));
    });
    const top = totals ? Object.entries(totals.service).sort((a, b) => b[1].records - a[1].records).slice(0, 4) : [];
    const most = top.length ? top[0][1].records : 1;
    pooled(services, top, () => h('li', null, h('span', { class: 'name' }), h('span', { class: 'bar' }, h('i')), h('b')), (li, [name, t]) => {
      text(li.children[0], visible(name));
      attr(li.children[0], 'title', visible(name));
      li.children[1].firstChild.style.width = `${(100 * t.records) / most}%`;
      text(li.children[2], short(t.records));
    });
  }

  function paintHealth(st) {
    const away = store.conn.state === 'lost';
    const v = away ? { state: 'unknown', reasons: [{ text: `no answer since ${clock(store.conn.since / 1000)}; what is shown is as of then`, do: 'look whether the process runs, and whether the network leads to it' }] }
      : st.verdict || { state: 'unknown', reasons: [] };
    const look = verdicts[v.state] || verdicts.unknown;
    text(health.answer, look.name);
    attr(health.answer, 'data-state', look.state);
    const list = v.reasons.length ? v.reasons.slice(0, 4) : [{ text: v.text || '' }];
    if (v.reasons.length > 4) list.push({ text: `and ${v.reasons.length - 4} more` });
    pooled(reasons, list, () => h('li', null, h('span'), h('small')), (li, r) => {
      text(li.firstChild, visible(sentence(r.text)));
      text(li.lastChild, visible(sentence(r.do)));
    });
    text(lost.value, st.lost === undefined ? none : count(st.lost));
    attr(lost.value, 'data-state', st.lost ? 'critical' : 'ok');
    text(durability.value, { disk: 'on disk, synced', process: 'in this process' }[st.durability] || none);
    text(disk.value, bytes(st.disk_free_bytes));
    text(stored.value, st.bytes === undefined ? none : `${bytes(st.bytes)} of ${bytes(st.limit_bytes)}`);
  }

  function paintPace(st) {
    const k = st.keeping_up || { state: 'unknown', text: '' };
    text(keeping.answer, paceWords[k.state] || k.state);
    attr(keeping.answer, 'data-state', paceStates[k.state] || 'warning');
    text(pace, sentence(k.text));
    const limit = deadline();
    const wait = st.oldest_wait_seconds;
    show(gaugeBox, limit > 0 && wait !== undefined);
    gauge.style.width = `${Math.min(100, limit ? (100 * wait) / limit : 0)}%`;
    attr(gaugeBox, 'data-state', wait > limit ? 'critical' : wait > 0.8 * limit ? 'warning' : 'ok');
    attr(gaugeBox, 'aria-valuemax', String(limit));
    attr(gaugeBox, 'aria-valuenow', String(Math.min(limit, wait || 0)));
    attr(gaugeBox, 'aria-valuetext', `${duration(wait)} of ${duration(limit)}`);
    paintWaits(st.waits);
    show(gaugeName, wait !== undefined);
    text(gaugeName.firstChild, `oldest wait ${duration(wait)}`);
    text(gaugeName.lastChild, limit > 0 ? `SLO ${duration(limit)}` : '');
    text(waiting.value, count(st.depth));
    text(inHand.value, count(st.in_flight));
    const back = st.rates ? st.rates.pushed_back_per_second : undefined;
    text(pushed.value, back === undefined ? none : back > 0 ? `${rate(back)} requests` : 'none');
    attr(pushed.value, 'data-state', back > 0 ? 'warning' : null);
  }

  // How many records were late is counted one by one; where the SLO is unknown, so is this.
  function paintWaits(w) {
    const windows = (w && w.windows) || [];
    for (const s of spans) {
      const v = windows.find((x) => x.window === s.name);
      const measured = v && v.late_records !== null;
      text(s.records, measured ? `${count(v.late_records)} of ${count(v.judged_records)}` : v && v.done_records === 0 ? 'none done' : 'unknown');
      text(s.share, measured ? percent(v.late_share) : '');
      attr(s.value, 'data-state', v && v.budget_used > 1 ? 'warning' : null);
      attr(s.value, 'title', v && v.budget_used !== null ? `${percent(v.budget_used)} of the error budget (${percent(w.budget)}) is used` : null);
    }
    const hour = windows.find((x) => x.window === '1h');
    text(waits.value, hour && hour.wait_p50_seconds !== null ? `${duration(hour.wait_p50_seconds)}, ${duration(hour.wait_p99_seconds)}` : none);
  }

  function paintPool(st) {
    const [pool, scaler] = [st.pool, st.autoscaler];
    show(dots, pool);
    show(own, pool);
    show(theirs, !pool);
    if (!pool) {
      const pools = st.pools || [];
      const asked = `${plural(st.remote_analyzers_count || 0, 'analyzer')} asked for work in the last two minutes.`;
      if (pools.length) {
        const [size, busy] = ['size', 'busy'].map((key) => pools.reduce((sum, p) => sum + p[key], 0));
        text(analyzers.answer, `${count(size)} running, ${count(busy)} busy`);
        text(why, `In ${plural(pools.length, 'pool')} of other processes, each with decisions of its own. ${asked}`);
      } else {
        text(analyzers.answer, plural(st.remote_analyzers_count || 0, 'analyzer'));
        text(why, st.remote_analyzers_count ? asked : 'None has asked for work in the last two minutes. Start some with: sluice analyze');
      }
      return;
    }
    const stuck = pool.stuck || 0;
    text(analyzers.answer, `${count(pool.size)} running, ${count(pool.busy)} busy`);
    const kinds = [];
    const most = 120;
    const each = Math.max(1, Math.ceil((pool.size + pool.draining) / most));
    const busy = Math.min(pool.busy, pool.ready);
    for (const [kind, n] of [['stuck', stuck], ['busy', busy - stuck], ['idle', pool.ready - busy], ['starting', pool.starting], ['draining', pool.draining]]) {
      for (let i = 0; i < Math.ceil(Math.max(0, n) / each); i++) kinds.push(kind);
    }
    pooled(dots, kinds, () => h('i'), (i, kind) => attr(i, 'data-kind', kind));
    const steer = scaler && (scaler.forced_size !== null && scaler.forced_size !== undefined ? `Forced to ${scaler.forced_size} by hand. ` : scaler.paused ? 'Paused by hand. ' : '');
    const last = scaler && scaler.last_decision ? scaler.last_decision.reason : '';
    text(why, `${steer || ''}${sentence(explained || last)}`);
    attr(why, 'title', why.textContent);
    text(bounds.value, scaler ? `${scaler.min_size} to ${scaler.max_size}, ${scaler.policy}` : none);
    text(changes.value, scaler ? `${count(scaler.total_scale_ups)} up, ${count(scaler.total_scale_downs)} down` : none);
  }

  function paintCharts(st) {
    const all = timeline();
    const to = now();
    const from = to - store.range;
    const r = st.rates || {};
    const pair = (records, size) => `${rate(records)}${size === undefined ? '' : ` · ${bytes(size)}/s`}`;
    // What others send and analyze is not known here, which is not zero.
    show(inText, st.ingest);
    text(inNow, pair(r.in_records_per_second, r.in_bytes_per_second));
    text(outNow, pair(r.out_records_per_second, st.pool ? r.out_bytes_per_second : undefined));
    text(waitNow, duration(st.oldest_wait_seconds));
    show(sizeText, st.pool);
    text(sizeNow, st.pool ? count(st.pool.size) : none);
    show(waitText, st.oldest_wait_seconds !== undefined);
    flowChart.update({ from, to, gap: gap(), panels: [{ height: 13.4, small: 9, least: 1, format: short, tell: rate,
      lines: [st.ingest ? { name: 'records in', cls: 'c-in', points: pick(all, 'in'), fill: true } : null, { name: 'records out', cls: 'c-out', points: pick(all, 'out') }].filter(Boolean) }] });
    const limit = deadline();
    const waits = { title: 'oldest wait', height: 6.6, small: 4.5, least: 1, kind: 'time', format: duration, lines: [{ name: 'oldest wait', cls: 'c-wait', points: pick(all, 'wait'), fill: true }],
      limits: limit ? [{ v: limit, name: `SLO ${duration(limit)}`, cls: 'deadline' }] : [] };
    const depth = { title: 'waiting records', height: 6.6, small: 4.5, least: 1, kind: 'whole', format: short, lines: [{ name: 'waiting', cls: 'c-depth', points: pick(all, 'depth'), fill: true }] };
    const pool = { title: 'analyzers', height: 4.6, small: 3, least: 1, kind: 'whole', format: short, lines: [{ name: 'analyzers', cls: 'c-size', points: sizes(all), fill: true, step: true }] };
    const panels = [st.depth === undefined ? null : limit ? waits : depth, st.pool ? pool : null].filter(Boolean);
    if (panels.length) backChart.update({ from, to, gap: gap(), panels });
  }

  function paintAccount(st) {
    show(account, st.accepted !== undefined);
    if (st.accepted === undefined) return;
    const values = [st.accepted, st.completed, st.dead, st.depth, st.in_flight];
    terms.forEach((t, i) => text(t.value, count(values[i])));
    text(lostTerm.value, count(st.lost));
    attr(lostTerm.value.parentNode, 'data-state', st.lost ? 'critical' : 'ok');
  }

  return {
    root,
    address: ranged.address,
    update() {
      const st = store.stats;
      root.classList.toggle('waiting', !st);
      if (!st) return;
      range.update(store.range, 3600);
      show(logs.root, st.role !== 'analyze'); // counted where the queue is
      paintHealth(st);
      paintPace(st);
      paintPool(st);
      paintCharts(st);
      paintAccount(st);
    },
    shown() {
      if (store.range > 3600) setRange(3600);
      results.start();
      if (has('autoscaler')) explain.start();
      if (has('tail')) sample.open();
      show(latestCard, has('tail'));
      paintLogs();
      paintLines();
    },
    hidden() {
      results.stop();
      explain.stop();
      sample.close();
    },
  };
}

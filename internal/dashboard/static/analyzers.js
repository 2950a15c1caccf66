// Analyzers: who works here, on what, how fast, and what went wrong last.

import { tell } from './address.js';
import { call } from './api.js';
import { h, attr, text, show, keyed, pooled, toast, confirm, panel } from './dom.js';
import { clock, count, duration, none, percent, plural, seconds, short, visible } from './format.js';
import { store, mayAct, now, rows, has } from './store.js';

const order = { stuck: 0, busy: 1, idle: 2, starting: 3, draining: 4 };
const natural = new Intl.Collator('en', { numeric: true });

// key, heading, what to sort by, whether the largest come first
const columns = [
  ['id', 'Analyzer', (r) => r.id, false],
  ['state', 'State', (r) => order[r.state] ?? 9, false],
  ['slots', 'Slots', (r) => r.in_hand, true],
  ['records', 'Records', (r) => r.records, true],
  ['p50', 'p50 a batch', (r) => r.p50_seconds ?? -1, true],
  ['p99', 'p99 a batch', (r) => r.p99_seconds ?? -1, true],
  ['failed', 'Failed', (r) => r.failed_batches, true],
  ['restarts', 'Restarts', (r) => r.restarts ?? 0, true],
  ['error', 'Last error', (r) => r.last_error || '', true],
];

/** make builds the screen. */
export function make() {
  let by = 'id';
  let reverse = false;
  const values = () => ({ sort: by === 'id' && !reverse ? null : by, order: by === 'id' && !reverse ? null : reverse ? 'down' : 'up' });
  const summary = h('ul', { class: 'states' });
  const trouble = h('p', { class: 'problem', role: 'status' });
  const body = h('tbody', { role: 'rowgroup' });
  const heads = columns.map(([key, name, , most]) => {
    const numeric = !['id', 'state', 'error'].includes(key);
    return h('th', { scope: 'col', class: numeric ? 'num' : null, 'aria-sort': 'none' }, h('button', { type: 'button', class: 'sort', onclick: () => {
      reverse = by === key ? !reverse : most;
      by = key;
      tell('analyzers', values(), true);
      update();
    } }, name));
  });
  const table = h('table', { class: 'pool', role: 'table' }, h('caption', { class: 'sr' }, 'Analyzers of this process; the headings sort'),
    h('thead', null, h('tr', null, heads, h('th', { scope: 'col' }, h('span', { class: 'sr' }, 'Actions')))), body);
  const empty = h('p', { class: 'empty' }, 'No analyzers in this process.');
  const here = h('section', { class: 'card', 'aria-label': 'Analyzers of this process' }, h('h2', null, 'Analyzers of this process'), summary, trouble, h('div', { class: 'scroll' }, table), empty);

  const poolsBody = h('tbody');
  const pools = h('section', { class: 'card', 'aria-label': 'Pools elsewhere' }, h('h2', null, 'Pools elsewhere', h('small', { class: 'faint' }, 'each scales itself for its share of the backlog')),
    h('div', { class: 'scroll' }, h('table', null, h('caption', { class: 'sr' }, 'Pools in other processes'), h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Pool'), h('th', { scope: 'col', class: 'num' }, 'Size'),
      h('th', { scope: 'col', class: 'num' }, 'Busy'), h('th', { scope: 'col', class: 'num' }, 'Share'), h('th', { scope: 'col' }, 'Policy'), h('th', { scope: 'col' }, 'Last decision'))), poolsBody)));

  const farBody = h('tbody');
  const far = h('section', { class: 'card', 'aria-label': 'Analyzers elsewhere' }, h('h2', null, 'Analyzers elsewhere', h('small', { class: 'faint' }, 'that asked for work over HTTP in the last two minutes')),
    h('div', { class: 'scroll' }, h('table', null, h('caption', { class: 'sr' }, 'Analyzers in other processes'), h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Analyzer'), h('th', { scope: 'col', class: 'num' }, 'Last asked'),
      h('th', { scope: 'col', class: 'num' }, 'Batches leased'), h('th', { scope: 'col', class: 'num' }, 'Records leased'))), farBody)));
  const root = h('div', { class: 'analyzers' }, h('h1', { class: 'sr' }, 'Analyzers'), here, pools, far);
  for (const part of [here, pools, far]) show(part, false); // until it is known which of them there are

  async function act(verb, id) {
    if (verb === 'kill') {
      const yes = await confirm({ title: `Kill ${id}?`, body: 'What it has in hand is handed back at once and analyzed again elsewhere. The autoscaler starts another one if the load asks for it.', yes: 'Kill', danger: true });
      if (!yes) return;
    }
    try {
      await call('POST', `v1/analyzers/${encodeURIComponent(id)}/${verb}`);
      toast(verb === 'drain' ? `${id} finishes what it has in hand, then leaves.` : `${id} is gone.`);
    } catch (e) {
      toast(e.words, true);
    }
  }

  function makeRow(r) {
    const button = (name, cls) => h('button', { type: 'button', class: `small ${cls}`, 'aria-label': `${name} ${r.id}`, onclick: () => act(name.toLowerCase(), r.id) }, name);
    // On narrow screens a row is a block; then the roles and the names keep saying what stands where.
    const cell = (i, cls, ...inside) => h('td', { class: cls, role: 'cell', 'data-name': columns[i][1].toLowerCase() }, ...inside);
    return h('tr', { role: 'row' }, h('th', { scope: 'row', role: 'rowheader', class: 'id' }), cell(1, 'what', h('span', { class: 'state' }), h('small')),
      [2, 3, 4, 5, 6, 7].map((i) => cell(i, 'num')), cell(8, 'error', h('button', { type: 'button', class: 'sort', hidden: true, onclick: (e) => panel(`Last error of ${r.id}`, h('pre', { tabindex: '0' }, e.currentTarget.getAttribute('data-all'))) })),
      h('td', { class: 'actions', role: 'cell' }, button('Drain', ''), button('Kill', 'danger')));
  }

  function changeRow(tr, r) {
    const c = tr.children;
    text(c[0], r.id);
    attr(tr, 'data-state', r.state);
    text(c[1].firstChild, r.state);
    text(c[1].lastChild, r.state_since ? ` ${duration(Math.max(0, Math.round(now() - seconds(r.state_since))))}` : '');
    text(c[2], `${r.in_hand} / ${r.slots}`);
    text(c[3], short(r.records));
    text(c[4], r.p50_seconds ? duration(r.p50_seconds) : none);
    text(c[5], r.p99_seconds ? duration(r.p99_seconds) : none);
    text(c[6], count(r.failed_batches));
    text(c[7], count(r.restarts ?? 0));
    attr(c[6], 'data-state', r.failed_batches > 0 ? 'warning' : null);
    attr(c[7], 'data-state', r.restarts > 0 ? 'critical' : null);
    const error = r.last_error ? visible(r.last_error) : '';
    const told = c[8].firstChild;
    show(told, error);
    text(told, error ? `${r.last_error_time ? `${clock(r.last_error_time)} ` : ''}${error.slice(0, 200)}` : '');
    attr(told, 'data-all', error || null);
    const off = !mayAct();
    const [drain, kill] = c[9].children;
    drain.disabled = off || r.state === 'draining';
    kill.disabled = off;
  }

  function update() {
    const st = store.stats;
    if (!st) return;
    const pool = st.pool;
    show(here, pool);
    const elsewhere = st.remote_analyzers || [];
    show(far, elsewhere.length > 0 || !pool);
    if (pool) {
      const all = pool.analyzers || [];
      const busy = Math.min(pool.busy, pool.ready) - (pool.stuck || 0);
      const kinds = [['busy', busy], ['idle', Math.max(0, pool.ready - busy - (pool.stuck || 0))], ['starting', pool.starting], ['draining', pool.draining], ['stuck', pool.stuck || 0]];
      pooled(summary, kinds, () => h('li', null, h('i'), h('b'), h('span')), (li, [kind, n]) => {
        attr(li, 'data-kind', kind);
        attr(li, 'data-none', n ? null : 'yes');
        text(li.children[1], count(n));
        text(li.children[2], kind);
      });
      text(trouble, pool.lease_error ? `No work can be had: ${pool.lease_error}` : '');
      const [, , value] = columns.find(([key]) => key === by);
      const sorted = all.slice().sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        const d = typeof x === 'string' ? natural.compare(x, y) : x - y;
        return (reverse ? -d : d) || natural.compare(a.id, b.id);
      });
      columns.forEach(([key], i) => attr(heads[i], 'aria-sort', key === by ? (reverse ? 'descending' : 'ascending') : 'none'));
      keyed(body, sorted, (r) => r.id, makeRow, changeRow);
      show(table, sorted.length > 0);
      show(empty, sorted.length === 0);
      text(empty, pool.size > 0 ? `${plural(pool.size, 'analyzer')}; reading the rows.` : 'No analyzers now: the pool may empty, and nothing waits.');
    }
    const others = st.pools || [];
    show(pools, others.length > 0);
    // The address of a pool comes from the pool: nothing but a page is followed.
    keyed(poolsBody, others, (p) => `${p.name} ${p.instance}`, (p) => h('tr', null, h('th', { scope: 'row', class: 'name' }, /^https?:\/\//.test(p.url || '') ? h('a', { href: p.url, rel: 'noreferrer' }, visible(p.name)) : visible(p.name)),
      h('td', { class: 'num' }), h('td', { class: 'num' }), h('td', { class: 'num' }), h('td'), h('td')), (tr, p) => {
      const d = p.last_decision;
      text(tr.children[1], `${count(p.size)} of ${count(p.min_size)}..${count(p.max_size)}`);
      text(tr.children[2], count(p.busy));
      text(tr.children[3], percent(p.share));
      text(tr.children[4], `${visible(p.policy)}${p.fixed ? ', held' : ''}`);
      text(tr.children[5], d ? `${clock(d.time)} ${d.size === d.new_size ? '' : `${d.size} → ${d.new_size}: `}${visible(d.reason)}` : none);
    });
    keyed(farBody, elsewhere.slice(0, 500), (r) => r.id, (r) => h('tr', null, h('th', { scope: 'row', class: 'name' }, visible(r.id)), h('td', { class: 'num' }), h('td', { class: 'num' }), h('td', { class: 'num' })), (tr, r) => {
      text(tr.children[1], r.waiting ? 'waits for work' : `${duration(r.last_seen_seconds)} ago`);
      text(tr.children[2], count(r.leased_batches));
      text(tr.children[3], count(r.leased_records));
    });
  }

  return {
    root,
    address: {
      values,
      read(params) {
        by = columns.some(([key]) => key === params.get('sort')) ? params.get('sort') : 'id';
        reverse = params.get('order') === 'down';
        update();
      },
    },
    update,
    shown: () => rows(has('analyzers')),
    hidden: () => rows(false),
  };
}

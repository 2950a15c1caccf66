// Live tail: records as they pass, behind those that have passed already. It follows the newest; while the pointer is over the records,
// while text is selected, one is open or the list is scrolled up, nothing moves, and what comes meanwhile is counted. The server filters and
// keeps; here are at most a few thousand records, and a few hundred rows, each of one record for as long as it is there.

import { tell } from './address.js';
import { get, parse } from './api.js';
import { h, attr, text, show, keyed, save, toast, panel } from './dom.js';
import { count, full, level, millis, plural, visible, zone } from './format.js';
import { Stream } from './stream.js';

const keptMost = 2000; // records
const keptBytes = 6 << 20; // of JSON
const rowsMost = 400;
const paintEvery = 500; // milliseconds; in between nothing moves
const levels = ['fatal', 'error', 'warn', 'info', 'debug', 'other'];
const edges = [['in', 'Coming in'], ['done', 'Analyzed'], ['dead', 'Given up']];

/** Kept is a list of the newest records, bounded in number and in bytes. */
class Kept {
  constructor() {
    this.list = [];
    this.bytes = 0;
  }

  add(r, size) {
    r.size = size;
    this.list.push(r);
    this.bytes += size;
    // Dropped in blocks, so that the list is not moved for each record.
    if (this.list.length > keptMost + 200 || this.bytes > keptBytes * 1.1) {
      let n = 0;
      while (this.list.length - n > keptMost || (this.bytes > keptBytes && n < this.list.length - 1)) this.bytes -= this.list[n++].size;
      this.list.splice(0, n);
    }
  }

  set(records) {
    this.list = [];
    this.bytes = 0;
    for (const r of records) this.add(r, 200 + 2 * (r.body || '').length);
  }
}

let serial = 0;

/** lineText is a record as one line of JSON. */
const lineText = (r) => (r.line === undefined ? JSON.stringify(r.body) : typeof r.line === 'string' ? r.line : JSON.stringify(r.line));
const pretty = (r) => visible(r.line === undefined || typeof r.line === 'string' ? r.line || r.body : JSON.stringify(r.line, null, 2));
const quoted = (value) => (/^[\w.@-]+$/.test(value) ? value : `"${value.replace(/["\\]/g, '\\$&')}"`);

const help = [
  ['timeout', 'the text is somewhere in the record, in any case'],
  ['"connection refused"', 'the same, with spaces'],
  ['/time.?out/i', 'a regular expression; i for any case'],
  ['severity:error', 'of this level, however the record writes it'],
  ['severity:>=warn', 'warn and worse'],
  ['service:checkout', 'a field; * stands for anything: service:check*'],
  ['http.status:>=500', 'a number; also >, < and <='],
  ['user:/^a.*z$/', 'a field that matches'],
  ['-health', 'not this'],
];

/** make builds the screen. */
export function make() {
  let edge = 'in';
  let openId = null; // of the record that is open, the last one of several
  let missed = 0; // records that came while nothing moved
  let skipped = 0; // in the last second, by the sample
  let state = 'lost';
  let due = 0;
  let turn = 0;
  let begun = false; // the screen is shown
  let written = zone(); // the zone in which the rows are written
  let selected = null;
  const still = new Set(); // why nothing moves: button, open, scroll, keys, selection, pointer
  const kept = new Kept();
  let pending = []; // kept, not yet shown

  const q = h('input', { type: 'search', id: 'tail-q', placeholder: 'text, /regex/, field:value', autocomplete: 'off', spellcheck: 'false', maxlength: '1000', 'aria-describedby': 'tail-problem' });
  const problem = h('p', { class: 'problem', id: 'tail-problem', role: 'alert' });
  const ask = h('button', { type: 'button', class: 'quiet small', 'aria-label': 'What a filter can say', onclick: () => panel('What a filter can say',
    h('p', { class: 'hint' }, 'Terms with spaces between; a record must match them all. The server searches the records that it keeps, and all that pass.'),
    h('dl', { class: 'facts' }, help.flatMap(([term, words]) => [h('dt', null, h('code', null, term)), h('dd', null, words)]))) }, '?');
  const edgeButtons = edges.map(([v, name]) => h('button', { type: 'button', 'aria-pressed': 'false', 'data-edge': v, onclick: () => change(() => { edge = v; }) }, name));
  const chips = levels.map((l) => {
    const name = l === 'other' ? 'no level' : l;
    const chip = h('button', { type: 'button', class: 'chip', 'data-level': l, 'aria-pressed': 'true', title: 'Show or hide. Double-click, or Alt and click: only this one', onclick: (e) => {
      if (e.detail < 2) change(() => (e.altKey ? only(l) : flip(l))); // the second click of two is ondblclick's
    }, ondblclick: () => change(() => choose([l]), false) }, name);
    return { l, chip, node: h('span', { class: 'chipbox' }, chip, h('button', { type: 'button', class: 'only', 'aria-label': `Only ${name}`, onclick: () => change(() => only(l)) }, 'only')) };
  });
  const pause = h('button', { type: 'button', onclick: () => ([...still].some((w) => w !== 'pointer') ? follow() : hold('button')) }, 'Pause');
  const clear = h('button', { type: 'button', class: 'quiet', onclick: () => { kept.set([]); follow(); } }, 'Clear');
  const download = h('button', { type: 'button', class: 'quiet', onclick: () => {
    if (!kept.list.length) toast('There is nothing to download yet.');
    else save('sluice-tail.ndjson', 'application/x-ndjson', `${kept.list.map(lineText).join('\n')}\n`);
  } }, 'Download');
  const status = h('p', { class: 'status' });
  const spoken = h('p', { class: 'sr', role: 'status' }); // the part of it worth hearing
  const list = h('ol', { class: 'log', role: 'log', 'aria-live': 'off', 'aria-label': 'Records', tabindex: '0' });
  const fresh = h('button', { type: 'button', class: 'fresh primary', hidden: true, onclick: () => follow() });
  const empty = h('p', { class: 'empty' });
  const root = h('div', { class: 'tail' }, h('h1', { class: 'sr' }, 'Live tail'),
    h('section', { class: 'card', 'aria-label': 'Live records' },
      h('div', { class: 'bar' },
        h('div', { class: 'segments', role: 'group', 'aria-label': 'Where' }, edgeButtons),
        h('div', { class: 'field search row' }, h('label', { for: 'tail-q', class: 'sr' }, 'Filter'), q, ask),
        h('div', { class: 'chips', role: 'group', 'aria-label': 'Levels' }, chips.map((c) => c.node)),
        h('div', { class: 'row' }, pause, clear, download)),
      problem, status, spoken, h('div', { class: 'logbox' }, list, empty, fresh)));

  const stream = new Stream('', got, (n) => { skipped = n; paintStatus(); }, (s) => { state = s; paintStatus(); });

  // ---- what is asked for, and the address ----

  const isOn = (c) => c.chip.getAttribute('aria-pressed') === 'true';
  const chosen = () => chips.filter(isOn).map((c) => c.l);
  const choose = (wanted) => chips.forEach((c) => attr(c.chip, 'aria-pressed', String(wanted.length === 0 || wanted.includes(c.l))));
  const only = (l) => choose(levelText() === l ? [] : [l]);
  const flip = (l) => choose(chips.filter((c) => isOn(c) !== (c.l === l)).map((c) => c.l));
  const levelText = () => (chosen().length < levels.length ? chosen().join(',') : '');
  const filtering = () => q.value.trim() !== '' || levelText() !== '';
  const values = () => ({ edge: edge === 'in' ? '' : edge, level: levelText(), q: q.value.trim(), open: openId });

  function query() {
    const params = new URLSearchParams({ edge });
    if (q.value.trim()) params.set('q', q.value.trim());
    if (levelText()) params.set('level', levelText());
    return params.toString();
  }

  function paintChoice() {
    for (const b of edgeButtons) attr(b, 'aria-pressed', String(b.dataset.edge === edge));
  }

  /** change is a choice of the one who looks: it is a step for Back, and read anew. */
  function change(choice, step = true) {
    choice();
    openId = null;
    paintChoice();
    tell('tail', values(), step);
    load();
  }

  let typing = 0;
  let typed = false; // the step for Back was made when typing began
  q.addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      change(() => {}, !typed);
      typed = q.value !== '';
    }, 250);
  });
  q.addEventListener('change', () => { typed = false; });

  /** load reads what is kept, and follows from there. */
  async function load() {
    clearTimeout(typing);
    const mine = ++turn;
    let a;
    try {
      a = await get(`v1/tail/recent?${query()}&limit=${keptMost}`);
    } catch (e) {
      if (mine !== turn) return;
      const wrong = e.status === 400;
      text(problem, wrong ? e.words : '');
      attr(q, 'aria-invalid', wrong ? 'true' : null);
      if (!wrong && begun) {
        state = 'lost';
        paintStatus();
        typing = setTimeout(load, 2000);
      }
      return;
    }
    if (mine !== turn) return;
    text(problem, '');
    attr(q, 'aria-invalid', null);
    kept.set(a.records || []);
    still.clear();
    rebuild();
    if (begun) stream.open(`v1/tail?${query()}&rate=100&recent=0`, Math.max(0, a.next - 1));
    if (openId) reveal(openId);
  }

  // reveal opens the record that the address names, also where the filter or newer ones would leave it out.
  async function reveal(id) {
    const same = (r) => String(r.id) === String(id);
    let r = kept.list.find(same);
    if (!r) {
      try {
        const a = await get(`v1/tail/recent?edge=${edge}&around=${encodeURIComponent(id)}&limit=0`);
        r = a.records.find(same);
      } catch {
        const own = history.state && history.state.keep ? parse(history.state.keep) : null;
        r = own && same(own) ? own : null;
      }
    }
    if (String(openId) !== String(id)) return;
    if (!r) {
      openId = null;
      tell('tail', values(), false);
      toast('The record of this address is not kept any more.', true);
      return;
    }
    let row = rowOf(r.id);
    if (!row) {
      keyed(list, [...kept.list.filter((k) => k.id !== r.id), r].sort((a, b) => a.id - b.id).slice(-rowsMost), (k) => k.id, makeRow, fillRow);
      row = rowOf(r.id);
    }
    if (!row) {
      keyed(list, [r, ...kept.list.slice(1 - rowsMost)], (k) => k.id, makeRow, fillRow);
      row = rowOf(r.id);
    }
    select(row);
    if (!row.classList.contains('open')) unfold(row);
    hold('open');
    row.scrollIntoView({ block: 'center' });
  }

  const rowOf = (id) => (list.rowsByKey ? list.rowsByKey.get(id) : null);

  // ---- what comes, and when it is shown ----

  function got(r, size) {
    r.id ??= ++serial;
    kept.add(r, size);
    if (still.size) missed++;
    else pending.push(r);
    if (pending.length > rowsMost) pending.shift();
    due ||= setTimeout(paint, paintEvery);
  }

  function paint() {
    due = 0;
    if (pending.length && !still.size) {
      pending = [];
      rebuild();
    }
    paintStatus();
  }

  // hold keeps every row where it is.
  function hold(reason) {
    still.add(reason);
    missed += pending.length;
    pending = [];
    paintStatus();
  }

  function release(reason) {
    if (still.delete(reason) && !still.size) rebuild();
    paintStatus();
  }

  // follow goes back to the newest.
  function follow() {
    still.clear();
    if (openId) {
      openId = null;
      tell('tail', values(), false);
    }
    for (const row of list.querySelectorAll('.open')) fold(row);
    rebuild();
  }

  function rebuild() {
    pending = [];
    missed = 0;
    keyed(list, kept.list.slice(-rowsMost), (r) => r.id, makeRow, fillRow);
    end();
    paintStatus();
  }

  // Our own scrolling must not be taken for somebody's.
  let ours = 0;
  function end() {
    ours = performance.now();
    list.scrollTop = list.scrollHeight;
  }
  const atEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight < 24;
  list.addEventListener('scroll', () => {
    if (performance.now() - ours < 80) return;
    if (atEnd()) release('scroll');
    else hold('scroll');
  }, { passive: true });
  list.addEventListener('wheel', (e) => {
    if (e.deltaY < 0 && list.scrollTop > 0) hold('scroll');
  }, { passive: true });
  for (const name of ['pointerenter', 'pointermove']) {
    list.addEventListener(name, (e) => {
      if (e.pointerType !== 'touch' && !still.has('pointer')) hold('pointer');
    }, { passive: true });
  }
  list.addEventListener('pointerleave', () => release('pointer'));
  document.addEventListener('selectionchange', () => {
    const s = getSelection();
    if (s && !s.isCollapsed && list.contains(s.anchorNode)) hold('selection');
    else if (still.has('selection')) release('selection');
  });

  // ---- rows ----

  function makeRow() {
    return h('li', { tabindex: '-1' }, h('time'), h('span', { class: 'sev' }), h('span', { class: 'svc' }), h('span', { class: 'body' }));
  }

  function fillRow(row, r) {
    if (row.record === r && row.zone === written) return;
    row.record = r;
    row.zone = written;
    attr(row, 'data-id', r.id);
    attr(row, 'data-level', r.level || level(r.severity));
    text(row.children[0], millis(r.time));
    attr(row.children[0], 'title', full(r.time));
    text(row.children[1], visible(String(r.severity || '·').slice(0, 12)));
    text(row.children[2], visible(String(r.service || '').slice(0, 60)));
    const body = String(r.body ?? '') || lineText(r);
    text(row.children[3], visible(body.slice(0, 600)) + (r.cut || body.length > 600 ? ' …' : ''));
  }

  function unfold(row) {
    const r = row.record;
    row.classList.add('open');
    row.append(h('div', { class: 'detail' },
      h('p', { class: 'hint' }, full(r.time)),
      h('div', { class: 'row' }, h('button', { type: 'button', onclick: () => context(r) }, 'Context'),
        r.service ? h('button', { type: 'button', onclick: () => change(() => { q.value = `service:${quoted(r.service)}`; }) }, 'Only this service') : null,
        h('button', { type: 'button', class: 'quiet', onclick: () => copy(lineText(r)) }, 'Copy'),
        h('button', { type: 'button', class: 'quiet', onclick: () => copy(location.href) }, 'Copy link')),
      h('pre', { tabindex: '0', 'aria-label': 'The record' }, pretty(r) + (r.cut ? '\n… cut at 16 KiB' : ''))));
  }

  function fold(row) {
    row.classList.remove('open');
    while (row.childElementCount > 4) row.lastElementChild.remove();
  }

  function toggle(row) {
    const first = openId === null;
    if (row.classList.contains('open')) {
      fold(row);
      const rest = list.querySelector('.open');
      openId = rest ? rest.record.id : null;
      tell('tail', values(), false);
      if (!rest) release('open');
    } else {
      hold('open');
      openId = row.record.id;
      tell('tail', values(), first, JSON.stringify(row.record));
      unfold(row);
    }
  }

  async function copy(what) {
    try {
      await navigator.clipboard.writeText(what);
      toast('Copied.');
    } catch {
      toast('The browser does not allow copying here.', true);
    }
  }

  // context shows what passed around a record, whatever the filter says.
  async function context(r) {
    let around;
    try {
      around = (await get(`v1/tail/recent?edge=${edge}&around=${r.id}&limit=15`)).records;
    } catch (e) {
      toast(e.words, true);
      return;
    }
    const rows = around.map((x) => {
      const row = makeRow();
      fillRow(row, x);
      if (x.id === r.id) row.classList.add('this');
      return row;
    });
    const box = panel('Around this record', h('p', { class: 'hint' }, `What passed just before and after it, without the filter. Times in ${zone(r.time)}. Where more passes than the server keeps, some are missing.`),
      h('ol', { class: 'log around', tabindex: '0' }, rows));
    const mark = box.querySelector('.this');
    if (mark) mark.scrollIntoView({ block: 'center' });
  }

  list.addEventListener('click', (e) => {
    const row = e.target.closest('li');
    if (!row || e.target.closest('.detail') || String(getSelection()) !== '') return;
    select(row);
    toggle(row);
  });
  list.addEventListener('keydown', (e) => {
    if (e.target.closest('.detail')) return;
    const at = selected && selected.isConnected ? selected : null;
    const moves = { ArrowDown: at ? at.nextElementSibling : list.lastElementChild, ArrowUp: at ? at.previousElementSibling : list.lastElementChild, Home: list.firstElementChild, End: list.lastElementChild };
    if (e.key in moves && moves[e.key]) {
      e.preventDefault();
      hold('keys');
      select(moves[e.key]);
      selected.focus();
    } else if (e.key === 'Enter' && at) {
      e.preventDefault();
      toggle(at);
    } else if (e.key === ' ') {
      e.preventDefault();
      if (still.size) follow();
      else hold('button');
    } else if (e.key === 'Escape') {
      follow();
      list.focus();
    }
  });

  function select(row) {
    if (selected) attr(selected, 'aria-current', null);
    selected = row;
    attr(row, 'aria-current', 'true');
  }

  function paintStatus() {
    const reading = [...still].some((w) => w !== 'pointer' && w !== 'button');
    text(pause, still.has('button') || reading ? 'Follow' : 'Pause');
    attr(pause, 'class', still.has('button') || reading ? 'primary' : null);
    show(fresh, still.size > 0 && missed > 0);
    text(fresh, `${plural(missed, 'new record')} ↓`);
    const words = [state !== 'open' ? 'connecting again' : still.has('button') ? 'paused' : reading ? 'holding still while you read' : still.size ? 'holding still under the pointer' : 'following'];
    text(spoken, words[0]);
    words.push(filtering() ? `${count(kept.list.length)} match` : `${count(kept.list.length)} kept`, `times in ${zone()}`);
    if (skipped) words.push(`a sample: ${plural(skipped, 'more record')} passed in the last second`);
    text(status, words.join(' · '));
    show(empty, kept.list.length === 0);
    text(empty, filtering() ? 'Nothing that passed matches the filter.' : edge === 'dead' ? 'Listening. No record was given up.' : 'Listening. No record has passed yet.');
  }

  return {
    root,
    address: {
      values,
      read(params) {
        const old = JSON.stringify({ ...values(), open: null });
        const open = /^\d{1,17}$/.test(params.get('open') || '') ? params.get('open') : null;
        const before = openId;
        edge = edges.some(([v]) => v === params.get('edge')) ? params.get('edge') : 'in';
        choose((params.get('level') || '').split(',').filter((l) => levels.includes(l)));
        if (q.value.trim() !== (params.get('q') || '')) q.value = params.get('q') || '';
        openId = open;
        paintChoice();
        if (JSON.stringify({ ...values(), open: null }) !== old || turn === 0) load();
        else if (open && open !== String(before)) reveal(open);
        else if (!open && before) follow();
      },
    },
    update() {
      if (written === zone()) return;
      written = zone();
      for (const row of list.children) fillRow(row, row.record);
      paintStatus();
    },
    shown() {
      begun = true;
      paintChoice();
      if (!still.size || !kept.list.length) load();
      else stream.open();
      paintStatus();
    },
    hidden() {
      begun = false;
      turn++;
      clearTimeout(typing);
      stream.close();
    },
  };
}

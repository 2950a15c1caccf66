// Live tail: records as they pass. It follows the newest until you scroll up, open one or pause; then nothing moves, and what came
// meanwhile is counted. At most a few thousand records are kept, and a few hundred shown, in rows that are reused.

import { h, attr, text, show, save, toast, panel } from './dom.js';
import { count, level, millis, plural, visible } from './format.js';
import { Stream } from './stream.js';

const keptMost = 2000; // records
const keptBytes = 6e6; // of JSON
const rowsMost = 400;
const levels = ['fatal', 'error', 'warn', 'info', 'debug', 'other'];
// What each level is called in a query.
const names = { fatal: 'FATAL', error: 'ERROR', warn: 'WARN', info: 'INFO', debug: 'DEBUG,TRACE', other: 'unknown' };

/** Kept is a list of the newest records, bounded in number and in bytes. */
class Kept {
  constructor() {
    this.list = [];
    this.bytes = 0;
  }

  add(r) {
    this.list.push(r);
    this.bytes += r.size;
    // Dropped in blocks, so that the list is not moved for each record.
    if (this.list.length > keptMost + 200 || this.bytes > keptBytes * 1.1) {
      let n = 0;
      while (this.list.length - n > keptMost || (this.bytes > keptBytes && n < this.list.length - 1)) this.bytes -= this.list[n++].size;
      this.list.splice(0, n);
    }
  }

  clear() {
    this.list = [];
    this.bytes = 0;
  }
}

let serial = 0;

/** lineText is a record as one line of JSON. */
const lineText = (r) => (typeof r.line === 'string' ? r.line : JSON.stringify(r.line));
const pretty = (r) => visible(typeof r.line === 'string' ? r.line : JSON.stringify(r.line, null, 2));

/** make builds the screen. */
export function make() {
  const q = h('input', { type: 'search', id: 'tail-q', placeholder: 'text in the record', autocomplete: 'off', spellcheck: 'false' });
  const edgeButtons = [['in', 'Coming in'], ['done', 'Analyzed'], ['dead', 'Given up']].map(([v, name]) =>
    h('button', { type: 'button', 'aria-pressed': String(v === 'in'), 'data-edge': v, onclick: () => { edge = v; reopen(true); } }, name));
  const levelButtons = levels.map((l) => h('button', { type: 'button', class: 'chip', 'data-level': l, 'aria-pressed': 'true', onclick: (e) => {
    const on = e.currentTarget.getAttribute('aria-pressed') === 'true';
    attr(e.currentTarget, 'aria-pressed', String(!on));
    refilter();
  } }, l === 'other' ? 'no level' : l));
  const pause = h('button', { type: 'button', onclick: () => (paused || reading ? follow() : hold(true)) }, 'Pause');
  const clear = h('button', { type: 'button', class: 'quiet', onclick: () => { kept.clear(); around.clear(); rebuild(); } }, 'Clear');
  const download = h('button', { type: 'button', class: 'quiet', onclick: () => {
    const list = kept.list;
    if (!list.length) toast('There is nothing to download yet.');
    else save('sluice-tail.ndjson', 'application/x-ndjson', `${list.map(lineText).join('\n')}\n`);
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
        h('div', { class: 'field search' }, h('label', { for: 'tail-q', class: 'sr' }, 'Filter'), q),
        h('div', { class: 'chips', role: 'group', 'aria-label': 'Levels' }, levelButtons),
        h('div', { class: 'row' }, pause, clear, download)),
      status, spoken, h('div', { class: 'logbox' }, list, empty, fresh)));

  let edge = 'in';
  let paused = false; // by the button
  let reading = false; // scrolled up, or a record is open
  let missed = 0; // records that came while nothing moved
  let skipped = 0; // in the last second, by the sample
  let state = 'lost';
  let due = false;
  let selected = null;
  const kept = new Kept(); // what the filter lets through
  const around = new Kept(); // everything, for context; the same records where there is no filter
  const pending = []; // kept, not yet shown

  const stream = new Stream('', (r, size) => got(r, size, true), (n) => { skipped = n; paintStatus(); }, (s) => { state = s; paintStatus(); });
  const unfiltered = new Stream('', (r, size) => got(r, size, false));

  const chosen = () => levels.filter((l, i) => levelButtons[i].getAttribute('aria-pressed') === 'true');
  const filtering = () => q.value !== '' || chosen().length < levels.length;
  const matches = (r) => {
    if (!chosen().includes(level(r.severity))) return false;
    return q.value === '' || lineText(r).toLowerCase().includes(q.value.toLowerCase());
  };

  function query() {
    const parts = [`edge=${edge}`, 'rate=100'];
    if (q.value) parts.push(`q=${encodeURIComponent(q.value)}`);
    const on = chosen();
    if (on.length < levels.length) parts.push(`severity=${on.map((l) => names[l]).join(',')}`);
    return `v1/tail?${parts.join('&')}`;
  }

  function reopen(anew) {
    for (const b of edgeButtons) attr(b, 'aria-pressed', String(b.dataset.edge === edge));
    if (anew) {
      kept.clear();
      around.clear();
      rebuild();
    }
    stream.open(query());
    if (filtering()) unfiltered.open(`v1/tail?edge=${edge}&rate=100`);
    else unfiltered.close();
  }

  let typing = 0;
  function refilter() {
    clearTimeout(typing);
    const all = around.list;
    kept.clear();
    for (const r of all) if (matches(r)) kept.add(r);
    rebuild();
    typing = setTimeout(() => reopen(false), 300);
  }
  q.addEventListener('input', refilter);

  function got(r, size, main) {
    r.size = size;
    r.id = ++serial;
    if (!main || !filtering()) around.add(r);
    if (!main || !matches(r)) return;
    kept.add(r);
    if (paused || reading) {
      missed++;
    } else {
      pending.push(r);
      if (pending.length > rowsMost) pending.shift();
    }
    if (!due) {
      due = true;
      requestAnimationFrame(paint);
    }
  }

  // hold keeps everything where it is.
  function hold(byButton) {
    if (byButton) paused = true;
    else reading = true;
    flush();
    paintStatus();
  }

  // follow goes back to the newest.
  function follow() {
    paused = false;
    reading = false;
    rebuild();
  }

  function rebuild() {
    pending.length = 0;
    missed = 0;
    if (paused) paused = false;
    reading = false;
    const shown = kept.list.slice(-rowsMost);
    while (list.childElementCount > shown.length) list.lastElementChild.remove();
    shown.forEach((r, i) => fillRow(list.children[i] || list.appendChild(makeRow()), r));
    end();
    paintStatus();
  }

  function paint() {
    due = false;
    flush();
    paintStatus();
  }

  // flush appends what is pending; the oldest rows become the newest.
  function flush() {
    if (!pending.length) return;
    for (const r of pending) {
      const row = list.childElementCount < rowsMost ? makeRow() : list.firstElementChild;
      fillRow(row, r);
      list.append(row);
    }
    pending.length = 0;
    end();
  }

  // scrolledByUs keeps our own scrolling from being taken for somebody's.
  let ours = 0;
  function end() {
    ours = performance.now();
    list.scrollTop = list.scrollHeight;
  }
  const atEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight < 24;
  list.addEventListener('scroll', () => {
    if (performance.now() - ours < 80) return;
    if (atEnd()) {
      if (reading && !paused && !list.querySelector('.open')) follow();
    } else if (!reading && !paused) {
      hold(false);
    }
  }, { passive: true });
  list.addEventListener('wheel', (e) => {
    if (e.deltaY < 0 && list.scrollTop > 0 && !reading && !paused) hold(false);
  }, { passive: true });

  function makeRow() {
    return h('li', { tabindex: '-1' }, h('time'), h('span', { class: 'sev' }), h('span', { class: 'svc' }), h('span', { class: 'body' }));
  }

  function fillRow(row, r) {
    if (row.record === r) return;
    row.record = r;
    row.classList.remove('open');
    while (row.childElementCount > 4) row.lastElementChild.remove();
    attr(row, 'data-level', level(r.severity));
    text(row.children[0], millis(r.time));
    text(row.children[1], visible(String(r.severity || '·').slice(0, 12)));
    text(row.children[2], visible(String(r.service || '').slice(0, 60)));
    const body = String(r.body ?? '') || lineText(r);
    text(row.children[3], visible(body.slice(0, 600)) + (r.cut || body.length > 600 ? ' …' : ''));
  }

  function toggle(row) {
    if (row.classList.toggle('open')) {
      hold(false);
      const r = row.record;
      row.append(h('div', { class: 'detail' },
        h('div', { class: 'row' }, h('button', { type: 'button', onclick: () => context(r) }, 'Context'),
          r.service ? h('button', { type: 'button', onclick: () => { q.value = r.service; refilter(); } }, 'Only this service') : null,
          h('button', { type: 'button', class: 'quiet', onclick: () => copy(r) }, 'Copy')),
        h('pre', { tabindex: '0', 'aria-label': 'The record' }, pretty(r) + (r.cut ? '\n… cut at 16 kB' : ''))));
    } else {
      row.lastElementChild.remove();
    }
  }

  async function copy(r) {
    try {
      await navigator.clipboard.writeText(lineText(r));
      toast('Copied.');
    } catch {
      toast('The browser does not allow copying here.', true);
    }
  }

  // context shows what passed around a record, whatever the filter says.
  function context(r) {
    const same = (x) => x.time === r.time && lineText(x) === lineText(r);
    const all = around.list;
    let at = all.findIndex((x) => x === r || same(x));
    const found = at >= 0;
    if (!found) {
      at = all.findIndex((x) => x.time > r.time);
      if (at < 0) at = all.length;
    }
    const lines = [...all.slice(Math.max(0, at - 15), at), r, ...all.slice(found ? at + 1 : at, at + 16)];
    const rows = lines.map((x) => {
      const row = makeRow();
      fillRow(row, x);
      if (x === r) row.classList.add('this');
      return row;
    });
    const box = panel('Around this record', h('p', { class: 'hint' }, 'What passed just before and after it, without the filter. Where more passes than the sample takes, some are missing.'),
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
      hold(false);
      select(moves[e.key]);
      selected.focus();
    } else if (e.key === 'Enter' && at) {
      e.preventDefault();
      toggle(at);
    } else if (e.key === ' ') {
      e.preventDefault();
      if (paused || reading) follow();
      else hold(true);
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
    const still = paused || reading;
    text(pause, still ? 'Follow' : 'Pause');
    attr(pause, 'class', still ? 'primary' : null);
    show(fresh, still && missed > 0);
    text(fresh, `${plural(missed, 'new record')} ↓`);
    const words = [state === 'open' ? (paused ? 'paused' : reading ? 'holding still while you read' : 'following') : 'connecting again'];
    text(spoken, words[0]);
    words.push(filtering() ? `${count(kept.list.length)} match` : `${count(kept.list.length)} kept`);
    if (skipped) words.push(`a sample: ${plural(skipped, 'more record')} passed in the last second`);
    text(status, words.join(' · '));
    show(empty, kept.list.length === 0);
    text(empty, filtering() ? 'Nothing that passed matches the filter.' : edge === 'dead' ? 'Listening. No record was given up since.' : 'Listening. No record has passed since.');
  }

  return {
    root,
    update() {},
    shown() {
      reopen(false);
      if (!paused && !reading) end();
      paintStatus();
    },
    hidden() {
      stream.close();
      unfiltered.close();
    },
  };
}

// Dead letters: what could not be analyzed, grouped by its error, until a person decides.

import { tell } from './address.js';
import { call, get } from './api.js';
import { h, attr, text, show, keyed, toast, confirm, panel } from './dom.js';
import { bytes, count, moment, plural, visible } from './format.js';
import { store, mayAct, whyNot, now } from './store.js';

const pageSize = 50;

/** make builds the screen. */
export function make() {
  const body = h('tbody', { role: 'rowgroup' });
  const retryAll = h('button', { type: 'button', onclick: () => act('retry', null) }, 'Retry all');
  const dropAll = h('button', { type: 'button', class: 'danger', onclick: () => act('drop', null) }, 'Drop all');
  const exportAll = h('a', { class: 'button quiet', href: 'v1/dead/export', download: 'dead-letters.ndjson' }, 'Export all');
  const summary = h('p', { class: 'because' });
  const empty = h('p', { class: 'empty' }, 'No dead letters. A record that fails again and again ends here, with its error.');
  const table = h('table', { class: 'dead', role: 'table' }, h('caption', { class: 'sr' }, 'Dead letters by error'),
    h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Error'), h('th', { scope: 'col', class: 'num' }, 'Letters'), h('th', { scope: 'col', class: 'num' }, 'Records'),
      h('th', { scope: 'col' }, 'First'), h('th', { scope: 'col' }, 'Last'), h('th', { scope: 'col' }, h('span', { class: 'sr' }, 'Actions')))), body);
  const root = h('div', { class: 'deadletters' }, h('h1', { class: 'sr' }, 'Dead letters'),
    h('section', { class: 'card', 'aria-label': 'Dead letters' },
      h('div', { class: 'row between' }, h('h2', null, 'Dead letters, by error'), h('div', { class: 'row' }, retryAll, exportAll, dropAll)),
      summary, h('div', { class: 'scroll' }, table), empty));

  let groups = [];
  let truncated = false;
  let loaded = false;
  let opened = null; // the kind whose letters are listed
  let letters = [];
  let more = false;
  let asked = 0; // number of dead records when the groups were read
  let at = 0;
  let busy = false;
  let asking = null; // the letter that the address names, while it is read

  async function load() {
    at = performance.now();
    asked = store.stats ? store.stats.dead : 0;
    try {
      const a = await get('v1/dead/groups');
      groups = a.groups || [];
      truncated = a.truncated;
      loaded = true;
      if (opened !== null && !groups.some((g) => g.kind === opened)) opened = null;
      if (opened !== null) await loadLetters(Math.max(pageSize, letters.length));
    } catch (e) {
      if (e.status === 404) text(empty, e.words);
      loaded = true;
    }
    paint();
  }

  async function loadLetters(n) {
    const a = await get(`v1/dead?kind=${encodeURIComponent(opened)}&limit=${Math.min(1000, n)}`);
    letters = a.dead || [];
    more = letters.length >= n;
  }

  const what = (kind) => (kind === null ? plural(groups.reduce((n, g) => n + g.letters, 0), 'letter') : plural((groups.find((g) => g.kind === kind) || { letters: 0 }).letters, 'letter'));

  /** act retries or drops all, a group, or one letter. */
  async function act(verb, kind, id) {
    const one = id !== undefined;
    const which = one ? `letter ${id}` : kind === null ? `all ${what(null)}` : `${what(kind)} of this error`;
    if (verb === 'drop') {
      const yes = await confirm({ title: `Drop ${which}?`, body: 'They are deleted for good and count as completed. Export them first if somebody may still want them.', yes: 'Drop for good', danger: true });
      if (!yes) return;
    } else if (!one && (groups.reduce((n, g) => n + g.letters, 0) > 100)) {
      const yes = await confirm({ title: `Retry ${which}?`, body: 'They go back to the queue with their attempts forgotten. What still fails comes back here.', yes: 'Retry' });
      if (!yes) return;
    }
    busy = true;
    paint();
    const query = kind === null || one ? '' : `?kind=${encodeURIComponent(kind)}`;
    try {
      const path = one ? `v1/dead/${id}` : 'v1/dead';
      const a = verb === 'retry' ? await call('POST', `${path}/retry${query}`) : await call('DELETE', `${path}${query}`);
      toast(`${plural(a.count, 'letter')} ${verb === 'retry' ? 'put back' : 'dropped'}.`);
    } catch (e) {
      toast(e.words, true);
    }
    busy = false;
    await load();
  }

  let viewed = null; // {id, dialog}: the letter that is open

  async function view(id, step = true) {
    if (viewed && viewed.id === id) return;
    try {
      const l = await get(`v1/dead/${id}`);
      const records = l.records || [];
      const shown = records.slice(0, 100).map((r) => JSON.stringify(r, null, 2)).join('\n').slice(0, 200000);
      const dialog = panel(`Dead letter ${id}`,
        h('dl', { class: 'facts' }, h('dt', null, 'Error'), h('dd', { class: 'error' }, visible(l.reason)), h('dt', null, 'Given up'), h('dd', null, moment(l.time, now())),
          h('dt', null, 'Attempts'), h('dd', null, count(l.attempts)), h('dt', null, 'Size'), h('dd', null, `${plural(records.length, 'record')}, ${bytes(l.bytes)}`)),
        h('pre', { tabindex: '0', 'aria-label': 'Records' }, visible(shown)),
        records.length > 100 ? h('p', { class: 'hint' }, `The first 100 of ${count(records.length)} records. The export has all.`) : null,
        h('div', { class: 'row end' },
          h('button', { type: 'button', disabled: !mayAct(), onclick: () => { dialog.close(); act('retry', null, id); } }, 'Retry'),
          h('button', { type: 'button', class: 'danger', disabled: !mayAct(), onclick: () => { dialog.close(); act('drop', null, id); } }, 'Drop')));
      viewed = { id, dialog };
      if (step) tell('dead', { letter: id }, true);
      dialog.addEventListener('close', () => {
        if (!viewed || viewed.dialog !== dialog) return; // closed by the address
        viewed = null;
        tell('dead', {}, false);
      });
    } catch (e) {
      toast(e.words, true);
    }
  }

  async function toggle(kind) {
    opened = opened === kind ? null : kind;
    letters = [];
    more = false;
    paint();
    if (opened !== null) {
      try {
        await loadLetters(pageSize);
      } catch (e) {
        toast(e.words, true);
      }
      paint();
    }
  }

  // The table has a row for each group, and below the opened one a row for each of its letters.
  function paint() {
    const off = busy || !mayAct();
    for (const b of [retryAll, dropAll]) {
      b.disabled = off || groups.length === 0;
      attr(b, 'title', whyNot());
    }
    show(exportAll, groups.length > 0);
    show(table, groups.length > 0);
    show(empty, loaded && groups.length === 0);
    const n = groups.reduce((sum, g) => sum + g.records, 0);
    text(summary, groups.length ? `${plural(n, 'record')} in ${what(null)}, ${plural(groups.length, 'kind')} of error${truncated ? '; only the first part was grouped' : ''}. Nothing here is lost: retry it, or drop it.` : '');
    const rows = groups.flatMap((g) => [{ key: `g${g.kind}`, g }, ...(g.kind === opened ? [...letters.map((l) => ({ key: `l${l.id}`, l })), ...(more ? [{ key: 'more', more: true }] : [])] : [])]);
    const t = now();
    keyed(body, rows, (r) => r.key, (r) => (r.g ? groupRow(r.g.kind) : r.l ? letterRow(r.l.id) : moreRow()), (tr, r) => {
      if (r.g) {
        const [error, nLetters, nRecords, first, last, actions] = tr.children;
        attr(error.firstChild, 'aria-expanded', String(opened === r.g.kind));
        text(error.firstChild.lastChild, visible(r.g.kind || r.g.reason || 'no reason').slice(0, 400));
        attr(error.firstChild, 'title', visible(r.g.reason).slice(0, 2000));
        text(nLetters, count(r.g.letters));
        text(nRecords, count(r.g.records));
        text(first, moment(r.g.first, t));
        text(last, moment(r.g.last, t));
        for (const b of actions.querySelectorAll('button')) b.disabled = off;
      } else if (r.l) {
        const [error, , nRecords, , last, actions] = tr.children;
        text(error.firstChild, `${r.l.id}`);
        text(error.lastChild, visible(r.l.reason).slice(0, 300));
        text(nRecords, count(r.l.records));
        text(last, moment(r.l.time, t));
        actions.querySelectorAll('button').forEach((b, i) => { b.disabled = i > 0 && off; });
      }
    });
  }

  const small = (name, onclick, cls, label) => h('button', { type: 'button', class: `small ${cls || ''}`, onclick, 'aria-label': label }, name);

  // On narrow screens the rows are blocks; then the roles and the names keep saying what stands where.
  const cell = (cls, name) => h('td', { class: cls, role: 'cell', 'data-name': name });

  function groupRow(kind) {
    return h('tr', { class: 'group', role: 'row' },
      h('th', { scope: 'row', role: 'rowheader' }, h('button', { type: 'button', class: 'disclose', 'aria-expanded': 'false', onclick: () => toggle(kind) }, h('span'))),
      cell('num', 'letters'), cell('num', 'records'), cell('time', 'first'), cell('time', 'last'),
      h('td', { class: 'actions', role: 'cell' }, small('Retry', () => act('retry', kind)), h('a', { class: 'button small quiet', href: `v1/dead/export?kind=${encodeURIComponent(kind)}`, download: 'dead-letters.ndjson' }, 'Export'), small('Drop', () => act('drop', kind), 'danger')));
  }

  function letterRow(id) {
    return h('tr', { class: 'letter', role: 'row' }, h('th', { scope: 'row', role: 'rowheader' }, h('code'), h('span')), cell(''), cell('num', 'records'), cell(''), cell('time', 'given up'),
      h('td', { class: 'actions', role: 'cell' }, small('View', () => view(id), 'quiet', `View letter ${id}`), small('Retry', () => act('retry', null, id), '', `Retry letter ${id}`), small('Drop', () => act('drop', null, id), 'danger', `Drop letter ${id}`)));
  }

  function moreRow() {
    return h('tr', null, h('td', { colspan: '6' }, h('button', { type: 'button', class: 'quiet', onclick: async () => { await loadLetters(letters.length + pageSize); paint(); } }, 'More')));
  }

  return {
    root,
    address: {
      values: () => ({ letter: viewed ? viewed.id : asking }),
      async read(params) {
        const id = /^\d{1,20}$/.test(params.get('letter') || '') ? params.get('letter') : null;
        if (viewed && String(viewed.id) !== id) {
          const { dialog } = viewed;
          viewed = null;
          dialog.close();
        }
        if (!id || viewed) return;
        asking = id;
        await view(id, false);
        asking = null;
      },
    },
    update() {
      // Read anew when the count changed, but not more often than each two seconds; and now and then for the times.
      const age = performance.now() - at;
      if (store.stats && !busy && (age > 30000 || (age > 2000 && store.stats.dead !== asked))) load();
    },
    shown() {
      load();
    },
    hidden() {
      if (!viewed) return;
      const { dialog } = viewed;
      viewed = null;
      dialog.close();
    },
  };
}

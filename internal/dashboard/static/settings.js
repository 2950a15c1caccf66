// Settings of the autoscaler: change them, see what the change would have done to the last hour, then apply.

import { call, get } from './api.js';
import { h, attr, text, show, pooled, toast } from './dom.js';
import { count, duration, none, percent } from './format.js';
import { Chart } from './chart.js';
import { store, mayAct, whyNot } from './store.js';

// field, label, unit, least, whole, which policies read it ('' for all)
const fields = [
  ['slo_seconds', 'Longest wait', 's', 0.01, false, 'slo'],
  ['min_size', 'Fewest', 'analyzers', 0, true, ''],
  ['max_size', 'Most', 'analyzers', 1, true, ''],
  ['scale_up_threshold', 'Grow at', 'records', 0, true, 'threshold'],
  ['scale_down_threshold', 'Shrink at', 'records', 0, true, 'threshold'],
  ['scale_up_count', 'Grow by', 'analyzers', 1, true, 'threshold'],
  ['scale_down_count', 'Shrink by', 'analyzers', 1, true, 'threshold'],
  ['check_interval_seconds', 'Check every', 's', 0.01, false, ''],
  ['cooldown_seconds', 'Cooldown', 's', 0, false, 'threshold'],
];

/** settings builds the card. */
export function settings() {
  const policy = h('select', { id: 'set-policy' });
  const preset = h('select', { id: 'set-preset' }, h('option', { value: '' }, 'choose'));
  const inputs = new Map();
  const grid = h('div', { class: 'fields' });
  for (const [name, label, unit, least, whole] of fields) {
    const id = `set-${name}`;
    const input = h('input', { id, type: 'number', min: String(least), step: whole ? '1' : 'any', inputmode: 'decimal', 'aria-describedby': `${id}-problem` });
    const problem = h('p', { class: 'problem', id: `${id}-problem` });
    const box = h('div', { class: 'field' }, h('label', { for: id }, label, h('small', null, ` ${unit}`)), input, problem);
    inputs.set(name, { input, problem, box });
    grid.append(box);
  }
  const look = h('button', { type: 'button', onclick: () => preview() }, 'Preview');
  const apply = h('button', { type: 'submit', class: 'primary' }, 'Apply');
  const reset = h('button', { type: 'button', class: 'quiet', onclick: () => fill() }, 'Undo');
  const general = h('p', { class: 'problem', role: 'alert' });
  const chart = new Chart('Pool size over the last hour with the present and with the proposed settings');
  const rows = h('tbody');
  const note = h('p', { class: 'hint' });
  const shownPreview = h('div', { class: 'preview', hidden: true }, h('h3', null, 'What it would have done with the traffic of the last hour'), chart.root,
    h('table', null, h('caption', { class: 'sr' }, 'Before and after'), h('thead', null, h('tr', null, h('td'), ...['now', 'then', 'change'].map((n) => h('th', { scope: 'col', class: 'num' }, n)))), rows), note);
  const form = h('form', { novalidate: true },
    h('div', { class: 'fields' }, h('div', { class: 'field' }, h('label', { for: 'set-policy' }, 'Policy'), policy),
      h('div', { class: 'field' }, h('label', { for: 'set-preset' }, 'Preset'), preset)), grid, general,
    h('div', { class: 'row' }, look, apply, reset));
  const live = h('p', { class: 'sr', role: 'status', 'aria-live': 'polite' });
  const away = h('p', { class: 'empty', hidden: true });
  const root = h('section', { class: 'card settings', 'aria-label': 'Settings' }, h('h2', null, 'Settings', h('small', { class: 'faint' }, 'until the next restart')), form, away, shownPreview, live);

  let have = null;
  let asking = null;

  async function load() {
    if (have && different()) return; // somebody was in the middle of something
    try {
      have = await get('v1/autoscaler/settings');
    } catch (e) {
      show(form, false);
      show(away, true);
      text(away, e.status === 404 ? 'This process has no autoscaler to set.' : e.words);
      return;
    }
    show(form, true);
    show(away, false);
    policy.replaceChildren(...(have.policies || [have.policy]).map((p) => h('option', { value: p }, p)));
    preset.replaceChildren(h('option', { value: '' }, 'choose'), ...(have.presets || []).map((p) => h('option', { value: p.name }, p.name)));
    fill();
  }

  function fill() {
    policy.value = have.policy;
    preset.value = '';
    for (const [name, { input }] of inputs) put(input, have.settings[name]);
    show(shownPreview, false);
    changedField();
  }

  const put = (input, v) => {
    input.value = v === undefined || v === null ? '' : String(v);
  };

  preset.addEventListener('change', () => {
    const p = (have.presets || []).find((x) => x.name === preset.value);
    if (!p) return;
    for (const [name, { input }] of inputs) if (p[name] !== undefined) put(input, p[name]);
    changedField();
  });
  policy.addEventListener('change', () => changedField());
  grid.addEventListener('input', () => changedField());

  function proposal() {
    const out = {};
    for (const [name, { input, box }] of inputs) if (!box.hidden && input.value.trim() !== '') out[name] = Number(input.value);
    return { policy: policy.value, settings: out };
  }

  // check says what is wrong with the form as far as the page can tell; the server has the last word.
  function check() {
    const problems = [];
    const v = (name) => Number(inputs.get(name).input.value);
    for (const [name, label, unit, least, whole] of fields) {
      const { input, box } = inputs.get(name);
      if (box.hidden) continue;
      const n = Number(input.value);
      if (input.value.trim() === '' || !Number.isFinite(n) || n < least || (whole && !Number.isInteger(n))) {
        problems.push({ field: name, message: `want a ${whole ? 'whole ' : ''}number of ${unit === 's' ? 'seconds' : unit} from ${least}` });
      }
    }
    if (!problems.length && v('min_size') > v('max_size')) problems.push({ field: 'min_size', message: `want at most ${v('max_size')}, the most analyzers` });
    if (!problems.length && policy.value === 'threshold' && v('scale_down_threshold') >= v('scale_up_threshold')) {
      problems.push({ field: 'scale_down_threshold', message: `want less than ${v('scale_up_threshold')}, where it grows` });
    }
    return problems;
  }

  function tell(problems) {
    for (const { input, problem } of inputs.values()) {
      attr(input, 'aria-invalid', null);
      text(problem, '');
    }
    const rest = [];
    for (const p of problems) {
      const f = inputs.get(p.field);
      if (f && !f.box.hidden) {
        attr(f.input, 'aria-invalid', 'true');
        text(f.problem, p.message);
      } else {
        rest.push(p.field ? `${p.field}: ${p.message}` : p.message);
      }
    }
    text(general, rest.join(' '));
  }

  function changedField() {
    for (const [name, , , , , only] of fields) show(inputs.get(name).box, !only || only === policy.value);
    tell(check());
    update();
  }

  function different() {
    const p = proposal();
    return p.policy !== have.policy || Object.entries(p.settings).some(([k, v]) => v !== have.settings[k]);
  }

  async function preview() {
    if (asking) asking.abort();
    const mine = new AbortController();
    asking = mine;
    text(live, 'Simulating the last hour');
    look.classList.add('busy');
    try {
      const a = await call('POST', 'v1/autoscaler/preview', proposal(), mine.signal);
      tell(a.problems || []);
      paint(a);
    } catch (e) {
      if (e.name !== 'AbortError') {
        tell(e.problems || []);
        text(general, e.words);
        show(shownPreview, false);
      }
    }
    if (asking === mine) {
      asking = null;
      look.classList.remove('busy');
    }
  }

  function paint(a) {
    const both = a.now && a.then;
    show(shownPreview, both || a.note);
    show(chart.root, both);
    show(rows.parentNode, both);
    text(note, [a.records ? `${count(a.records)} records.` : '', a.note].filter(Boolean).join(' '));
    if (!both) {
      text(live, a.note || '');
      return;
    }
    const end = Math.max(3600 * a.hours, ...[a.now, a.then].flatMap((x) => x.line || []).map((p) => p[0]));
    const lines = [['now', 'c-want', a.now], ['then', 'c-size', a.then]].map(([name, cls, x]) => ({ name, cls, points: lasting(x.line || [], end), step: true, fill: name === 'then' }));
    chart.update({ from: 0, to: end, gap: Infinity, clock: (t, step) => (step >= 60 ? `${Math.round(t / 60)} min` : duration(Math.round(t))),
      panels: [{ height: 7, small: 6, least: 1, kind: 'whole', format: (v) => String(v), lines }] });
    const say = [['analyzer-hours', 'cost_worker_hours', (v) => v.toFixed(2), 1], [`later than ${duration(Number(inputs.get('slo_seconds').input.value) || (store.ui && store.ui.slo_seconds))}`, 'late_share', percent, 1], ['wait p99', 'wait_p99_seconds', duration, 1],
      ['most analyzers', 'max_size_used', count, 1], ['scale ups', 'scale_ups', count, 0], ['scale downs', 'scale_downs', count, 0]];
    pooled(rows, say, () => h('tr', null, h('th', { scope: 'row' }), h('td', { class: 'num' }), h('td', { class: 'num' }), h('td', { class: 'num' })), (tr, [name, key, write, weight]) => {
      const [x, y] = [a.now[key], a.then[key]];
      const known = typeof x === 'number' && typeof y === 'number';
      text(tr.children[0], name);
      text(tr.children[1], typeof x === 'number' ? write(x) : none);
      text(tr.children[2], typeof y === 'number' ? write(y) : none);
      const d = known ? y - x : 0;
      text(tr.children[3], !known || write(Math.abs(d)) === write(0) ? '=' : `${d > 0 ? '+' : '−'}${write(Math.abs(d))}`);
      attr(tr.children[3], 'data-better', !known || !weight || write(Math.abs(d)) === write(0) ? null : d < 0 ? 'yes' : 'no');
    });
    text(live, `Then ${a.then.cost_worker_hours.toFixed(2)} analyzer-hours instead of ${a.now.cost_worker_hours.toFixed(2)}, and ${percent(a.then.late_share)} late instead of ${percent(a.now.late_share)}`);
  }

  // lasting makes the last size of a line last until the end.
  function lasting(line, end) {
    const last = line[line.length - 1];
    return last && last[0] < end ? [...line, [end, last[1]]] : line;
  }

  form.addEventListener('submit', async (e) => {
    e.preventDefault();
    const problems = check();
    tell(problems);
    if (problems.length) {
      const first = inputs.get(problems[0].field);
      if (first) first.input.focus();
      return;
    }
    apply.disabled = true;
    try {
      const a = await call('PUT', 'v1/autoscaler/settings', proposal());
      have = { ...have, ...a };
      fill();
      toast('Applied, until the next restart. Put it into the configuration to keep it.');
      store.ui = await get('v1/ui');
      const d = await get('v1/decisions?limit=1');
      store.settings = d.settings;
    } catch (err) {
      tell(err.problems || []);
      text(general, err.problems && err.problems.length ? '' : err.words);
      toast(err.words, true);
    }
    update();
  });

  function update() {
    if (!have) return;
    const may = mayAct();
    const ok = check().length === 0;
    const diff = different();
    for (const control of [policy, preset, ...[...inputs.values()].map((f) => f.input)]) control.disabled = !may;
    look.disabled = !ok || !diff;
    apply.disabled = !may || !ok || !diff;
    attr(apply, 'title', whyNot());
    reset.disabled = !diff;
  }

  return { root, update, shown: load };
}

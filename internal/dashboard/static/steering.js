// Steering: pause, resume, and a size by hand.

import { call } from './api.js';
import { h, attr, text, show, toast, confirm } from './dom.js';
import { clock, duration, plural, seconds } from './format.js';
import { store, mayAct, whyNot, now } from './store.js';

/** steering builds the card. */
export function steering() {
  const state = h('p', { class: 'because' });
  const pause = h('button', { type: 'button', onclick: () => act(pause, 'pause', 'The pool keeps its size until you resume.') }, 'Pause');
  const resume = h('button', { type: 'button', class: 'primary', onclick: () => act(resume, 'resume', 'The policy decides again.') }, 'Resume');
  const size = h('input', { id: 'force-size', type: 'number', min: '0', step: '1', required: true, inputmode: 'numeric' });
  const time = h('select', { id: 'force-time' }, [[60, '1 minute'], [300, '5 minutes'], [900, '15 minutes'], [3600, '1 hour'], [14400, '4 hours']].map(([v, name]) => h('option', { value: v }, name)));
  time.value = '900';
  const force = h('button', { type: 'submit' }, 'Force');
  const problem = h('p', { class: 'problem', role: 'alert' });
  const form = h('form', { class: 'inline', novalidate: true },
    h('div', { class: 'field' }, h('label', { for: 'force-size' }, 'Analyzers'), size),
    h('div', { class: 'field' }, h('label', { for: 'force-time' }, 'for'), time), force);
  const hint = h('p', { class: 'hint' }, 'A forced size goes beyond the bounds, and ends by itself. A pause keeps the size as it is; checks go on, and the list shows what the policy would have done.');
  const root = h('section', { class: 'card steer', 'aria-label': 'Steering' }, h('h2', null, 'By hand'), state,
    h('div', { class: 'row' }, pause, resume), h('h3', null, 'Force a size'), form, problem, hint);

  let busy = false;
  async function act(button, what, said, body) {
    busy = true;
    update();
    try {
      store.stats.autoscaler = await call('POST', `v1/autoscaler/${what}`, body);
      text(problem, '');
      toast(said);
    } catch (e) {
      text(problem, e.words);
      toast(e.words, true);
    }
    busy = false;
    update();
  }

  form.addEventListener('submit', async (e) => {
    e.preventDefault();
    const scaler = store.stats.autoscaler;
    const [n, s] = [Number(size.value), Number(time.value)];
    const most = 10 * scaler.max_size;
    const wrong = size.value.trim() === '' || !Number.isInteger(n) || n < 0 ? 'Analyzers: a whole number from 0.' : n > most ? `Analyzers: at most ${most}, ten times the upper bound.` : '';
    attr(size, 'aria-invalid', wrong ? 'true' : null);
    text(problem, wrong);
    if (wrong) {
      size.focus();
      return;
    }
    if (n === 0 || n > scaler.max_size) {
      const yes = await confirm({ title: `Force ${plural(n, 'analyzer')}?`, yes: 'Force',
        body: n === 0 ? 'Nothing is analyzed until it ends; records wait on disk.' : `That is more than the upper bound, ${scaler.max_size}.` });
      if (!yes) return;
    }
    act(force, 'force', `Forced to ${n} for ${duration(s)}.`, { size: n, seconds: s });
  });

  function update() {
    const scaler = store.stats && store.stats.autoscaler;
    if (!scaler) return;
    const forced = scaler.forced_size !== null && scaler.forced_size !== undefined;
    const until = forced ? seconds(scaler.forced_until) : 0;
    text(state, forced ? `Forced to ${scaler.forced_size} until ${clock(until)}, another ${duration(Math.max(0, Math.round(until - now())))}.${scaler.paused ? ' Paused after that.' : ''}`
      : scaler.paused ? 'Paused: the pool keeps its size.'
        : scaler.dry_run ? 'A dry run: it decides and explains, and leaves the pool alone.' : `The policy ${scaler.policy} decides${scaler.in_cooldown ? `; cooldown for another ${duration(Math.ceil(scaler.cooldown_remaining_seconds))}` : ''}.`);
    attr(state, 'data-state', forced || scaler.paused ? 'warning' : null);
    show(pause, !scaler.paused);
    show(resume, scaler.paused || forced);
    const off = busy || !mayAct();
    for (const b of [pause, resume, force, size, time]) {
      b.disabled = off;
      attr(b, 'title', whyNot());
    }
    if (size.value === '' && document.activeElement !== size && !size.dataset.filled) {
      size.dataset.filled = 'yes';
      size.value = String(scaler.current_size);
    }
  }

  return { root, update };
}

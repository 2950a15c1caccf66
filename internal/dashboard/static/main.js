// The frame of the page: header, screens and the way between them. Each screen is a module that makes itself when it is first
// looked at: make() returns {root, update, shown, hidden}.

import { here, put, told } from './address.js';
import { call } from './api.js';
import { h, attr, text, show, icon, toast } from './dom.js';
import { duration, inUTC, plural, short, switchZone, verdicts, zone } from './format.js';
import { store, watch, start, has, changed, whyNot } from './store.js';

const screens = [
  ['overview', 'Overview', () => import('./overview.js')],
  ['autoscaler', 'Autoscaler', () => import('./autoscaler.js')],
  ['flow', 'Flow', () => import('./flow.js')],
  ['tail', 'Live tail', () => import('./tail.js')],
  ['dead', 'Dead letters', () => import('./dead.js')],
  ['analyzers', 'Analyzers', () => import('./analyzers.js')],
];

const element = (id) => document.getElementById(id);
const content = element('content');
const made = new Map();
let current = null;

// ---- the way between the screens ----

const links = screens.map(([id, name]) => {
  const badge = h('span', { class: 'count', hidden: true });
  return { id, badge, node: h('a', { href: `#/${id}` }, icon(id), h('span', null, name), badge) };
});
element('nav').append(...links.map((l) => l.node));

function wanted() {
  const { id } = here();
  return screens.find(([s]) => s === id && has(s)) || screens[0];
}

async function route() {
  const [id, name, load] = wanted();
  if (current && current.id === id) {
    settle();
    return;
  }
  if (current && current.screen && current.screen.hidden) current.screen.hidden();
  const mine = { id, name, screen: null };
  const first = current === null;
  current = mine;
  for (const l of links) attr(l.node, 'aria-current', l.id === id ? 'page' : null);
  document.body.dataset.screen = id;
  try {
    if (!made.has(id)) made.set(id, (await load()).make());
  } catch {
    content.replaceChildren(h('p', { class: 'empty' }, 'This screen could not be loaded. Is the server away? ',
      h('button', { type: 'button', onclick: () => location.reload() }, 'Load again')));
    return;
  }
  if (current !== mine) return;
  mine.screen = made.get(id);
  content.replaceChildren(mine.screen.root);
  if (!first) {
    content.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
  if (mine.screen.shown) mine.screen.shown();
  settle();
  update();
}

// settle makes the screen show what the address says. A plain link to a screen leaves it as it was.
function settle() {
  const { id, screen } = current;
  if (!screen || !screen.address || wanted()[0] !== id) return; // the last: another screen is on its way
  const { params } = here();
  if (told() || params.size > 0) screen.address.read(params);
  put(id, screen.address.values(), false, history.state && history.state.keep);
}

// ---- the header ----

const paces = { idle: 'idle', keeping_up: 'keeping up', behind: 'falling behind', stalled: 'stalled', unknown: 'pace unknown' };

/** headline is the state of everything in a few words. */
function headline() {
  const st = store.stats;
  if (!st) return ['', ''];
  if (store.conn.state === 'lost') return ['stale', 'Unknown, no answer'];
  const look = verdicts[st.verdict && st.verdict.state] || verdicts.unknown;
  return [look.state, [look.name, paces[st.keeping_up && st.keeping_up.state]].filter(Boolean).join(', ')];
}

const connWords = { connecting: 'connecting', live: 'live', late: 'late', lost: 'reconnecting' };

function header() {
  const { stats: st, ui, conn } = store;
  const [state, words] = headline();
  text(element('verdict'), words);
  attr(element('verdict'), 'data-state', state);
  text(element('where'), st ? `${location.host} · ${st.role} ${st.version}` : location.host);
  const c = element('conn');
  attr(c, 'data-state', conn.state);
  attr(c, 'title', conn.state === 'lost' ? `${conn.text}; what you see is as of then. It connects again by itself.` : 'One message each second');
  text(element('conn-state'), connWords[conn.state]);
  if (conn.state !== 'lost') text(element('conn-for'), '');
  show(element('readonly'), ui && ui.read_only);
  attr(element('readonly'), 'title', whyNot());
  show(element('signout'), ui && ui.auth && ui.signed_in);
  attr(document.body, 'data-conn', conn.state);
  attr(document.body, 'data-readonly', ui && ui.read_only ? 'yes' : null);
  const title = current ? current.name : 'Overview';
  const flag = conn.state === 'lost' ? '○ ' : state === 'ok' || state === '' ? '' : '● ';
  if (document.title !== `${flag}${title} · Sluice`) document.title = `${flag}${title} · Sluice`;
  for (const l of links) {
    show(l.node, has(l.id));
    const n = !st ? 0 : l.id === 'dead' ? st.dead || 0 : l.id === 'analyzers' && st.pool ? st.pool.size : 0;
    show(l.badge, n > 0);
    text(l.badge, short(n));
    if (l.id === 'dead') attr(l.node, 'aria-label', n > 0 ? `Dead letters, ${plural(n, 'record')}` : null);
  }
}

let version = null; // of the server that this page came from

function update() {
  header();
  if (store.ui) {
    version ||= store.ui.version;
    show(element('newer'), store.ui.version !== version);
    if (current && !has(current.id)) route(); // this process does not have it after all
  }
  if (current && current.screen) current.screen.update();
}

// ---- colours ----

const themes = ['auto', 'light', 'dark'];

function paintTheme() {
  const now = document.documentElement.dataset.theme || 'auto';
  const b = element('theme');
  b.replaceChildren(icon({ auto: 'auto', light: 'sun', dark: 'moon' }[now]));
  attr(b, 'aria-label', `Colours: ${{ auto: 'as the system', light: 'light', dark: 'dark' }[now]}`);
  attr(b, 'title', b.getAttribute('aria-label'));
}

element('theme').addEventListener('click', () => {
  const root = document.documentElement;
  const next = themes[(themes.indexOf(root.dataset.theme || 'auto') + 1) % themes.length];
  if (next === 'auto') delete root.dataset.theme;
  else root.dataset.theme = next;
  try {
    localStorage.setItem('sluice.theme', next);
  } catch { /* not kept then */ }
  paintTheme();
});

// ---- the zone of all times ----

function paintZone() {
  const b = element('zone');
  text(b, zone());
  attr(b, 'aria-label', `Times are in ${zone()}`);
  attr(b, 'title', inUTC() ? 'Times are in UTC. Click for the time of this computer' : `Times are in ${zone()}, that of this computer. Click for UTC`);
}

element('zone').addEventListener('click', () => {
  switchZone();
  paintZone();
  changed();
});

element('newer').addEventListener('click', () => location.reload());

element('signout').addEventListener('click', async () => {
  try {
    await call('DELETE', 'ui/session');
  } catch (e) {
    if (e.status !== 401) toast(e.words, true);
  }
  location.reload();
});

// A click on the skip link must not change the screen that the address names.
document.querySelector('.skip').addEventListener('click', (e) => {
  e.preventDefault();
  content.focus();
});

// How long the stream has been away is written each second, also while nothing arrives.
setInterval(() => {
  if (store.conn.state === 'lost' && !document.hidden) {
    text(element('conn-for'), `, ${duration(Math.round((Date.now() - store.conn.since) / 1000))}`);
  }
}, 1000);

window.addEventListener('hashchange', route);
paintTheme();
paintZone();
watch(update);
start();
route();
changed();

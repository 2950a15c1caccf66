// How numbers, sizes and times are written. One place, so that the same number never looks different on two screens.

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

export const none = '–'; // what stands where nothing is known

const known = (v) => typeof v === 'number' && Number.isFinite(v);

/** count writes a whole number in full: 17,958. */
export const count = (v) => (known(v) ? grouped.format(v) : none);

/** short writes a number in at most five characters: 0.25, 942, 17.9k, 1.25M. */
export function short(v) {
  if (!known(v)) return none;
  const units = ['', 'k', 'M', 'G', 'T', 'P', 'E'];
  let i = 0;
  while (Math.abs(v) >= 999.5 && i < units.length - 1) {
    v /= 1000;
    i++;
  }
  return i === 0 && Number.isInteger(v) ? String(v) : three(v) + units[i];
}

function three(v) {
  const a = Math.abs(v);
  return String(Number(v.toFixed(a >= 99.95 ? 0 : a >= 9.995 ? 1 : 2)) + 0);
}

/** rate writes a number per second in at most nine characters: 2,195/s, 12.3M/s. */
export function rate(v) {
  if (!known(v)) return none;
  const text = `${Math.abs(v) < 99.95 ? Number(v.toPrecision(3)) + 0 : count(v)}/s`;
  return text.length <= 9 ? text : `${short(v)}/s`;
}

const tenths = new Intl.NumberFormat('en-US', { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** bytes writes a size in units of 1024: 53.3 MiB. */
export function bytes(v) {
  if (!known(v) || v < 0) return none;
  const units = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
  let i = 0;
  while (v >= 1023.5 && i < units.length - 1) {
    v /= 1024;
    i++;
  }
  return `${i === 0 || v >= 999.95 ? count(v) : tenths.format(v)} ${units[i]}B`;
}

/** duration writes seconds: 400ms, 1.5s, 12s, 3m20s, 2h5m, 3d4h. */
export function duration(v) {
  if (!known(v)) return none;
  if (v < 0) return `-${duration(-v)}`;
  const to = (x, digits) => Number(x.toFixed(digits));
  const pair = (x, per, big, small) => `${Math.floor(x / per)}${big}${x % per ? `${x % per}${small}` : ''}`;
  const micros = Math.round(v * 1e6);
  if (micros === 0) return '0s';
  if (micros < 1000) return `${micros}µs`;
  if (v < 0.00995) return `${to(v * 1000, 1)}ms`;
  if (v < 0.9995) return `${Math.round(v * 1000)}ms`;
  if (v < 9.95) return `${to(v, 1)}s`;
  const whole = Math.round(v);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return pair(whole, 60, 'm', 's');
  const minutes = Math.round(v / 60);
  return minutes < 48 * 60 ? pair(minutes, 60, 'h', 'm') : pair(Math.round(v / 3600), 24, 'd', 'h');
}

/** percent writes a share from 0 to 1 with three digits, as the command line does. Only none is 0 %, and only all is 100 %. */
export function percent(v) {
  if (!known(v)) return none;
  const p = 100 * v;
  if (p > 0 && p < 0.0001) return 'less than 0.0001 %';
  if (p > 99.9 && p < 100) return 'more than 99.9 %';
  return `${p < 99.95 ? Number(p.toPrecision(3)) + 0 : count(p)} %`;
}

/** seconds reads a time, RFC 3339 or Unix seconds, as Unix seconds. */
export const seconds = (t) => (typeof t === 'number' ? t : Date.parse(t) / 1000);

const two = (n) => String(n).padStart(2, '0');

// ---- times of day, in one zone for all of the page ----

let utc = false;
try {
  utc = localStorage.getItem('sluice.zone') === 'UTC';
} catch { /* local then */ }

const offset = (d) => (utc ? 0 : -d.getTimezoneOffset()); // minutes east of Greenwich

/** zone names the zone in which times are written: UTC, UTC+2, UTC-3:30. */
export function zone(t) {
  const m = offset(t === undefined ? new Date() : new Date(seconds(t) * 1000));
  const a = Math.abs(m);
  return m === 0 ? 'UTC' : `UTC${m < 0 ? '-' : '+'}${Math.floor(a / 60)}${a % 60 ? `:${two(a % 60)}` : ''}`;
}

/** switchZone changes between UTC and the zone of the one who looks. */
export function switchZone() {
  utc = !utc;
  try {
    localStorage.setItem('sluice.zone', utc ? 'UTC' : 'local');
  } catch { /* not kept then */ }
}

/** inUTC says whether times are written in UTC by choice. */
export const inUTC = () => utc;

/** shifted is a time whose UTC parts are what a clock in the zone shows; null where there is none. */
export function shifted(t) {
  const d = new Date(seconds(t) * 1000);
  return Number.isNaN(d.getTime()) ? null : new Date(d.getTime() + offset(d) * 60000);
}

/** clock writes a time of day: 15:04:05. */
export function clock(t, parts = 3) {
  const d = shifted(t);
  return d ? d.toISOString().slice(11, parts === 3 ? 19 : 16) : none;
}

/** millis writes a time of day with milliseconds. */
export function millis(t) {
  const d = shifted(t);
  return d ? d.toISOString().slice(11, 23) : none;
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** day writes a date: 23 Nov. */
export function day(t) {
  const d = shifted(t);
  return d ? `${d.getUTCDate()} ${months[d.getUTCMonth()]}` : none;
}

/** moment writes a time, with its day unless that is today. */
export function moment(t, now) {
  return day(t) === day(now) ? clock(t) : `${day(t)} ${clock(t, 2)}`;
}

/** full writes all of a time, with its zone: 2026-11-23 15:04:05.123 UTC+2. */
export function full(t) {
  const d = shifted(t);
  return d ? `${d.toISOString().slice(0, 23).replace('T', ' ')} ${zone(t)}` : none;
}

/** sentence begins with a capital, and leaves out the size that stands above it anyway. */
export function sentence(text) {
  const t = String(text || '').replace(/^\d+ analyzers?: /, '');
  return t.charAt(0).toUpperCase() + t.slice(1);
}

/** verdicts is how the states of a verdict are named and coloured. One place for the header and the overview. */
export const verdicts = {
  ok: { name: 'Healthy', state: 'ok' },
  warning: { name: 'Needs a look', state: 'warning' },
  unknown: { name: 'Unknown', state: 'warning' },
  problem: { name: 'Not healthy', state: 'critical' },
};

/** plural writes a number and its word. */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** visible makes controls, escapes and marks that turn the direction of writing visible, so that a log line shows what it is
 * and nothing around it changes. */
export function visible(text) {
  return String(text).replace(/(?![\t\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0]/gu,
    (c) => `‹${c.codePointAt(0).toString(16).toUpperCase().padStart(2, '0')}›`);
}

/** level is the style and the chip of a severity. The server has one name for each, and leaves it out where a record does not say. */
export function level(severity) {
  const v = String(severity || '').toLowerCase();
  if (v === 'trace') return 'debug';
  return ['fatal', 'error', 'warn', 'info', 'debug'].includes(v) ? v : 'other';
}

// How numbers, sizes and times are written. One place, so that the same number never looks different on two screens.

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

export const none = '–'; // what stands where nothing is known

const known = (v) => typeof v === 'number' && Number.isFinite(v);

/** count writes a whole number in full: 17,958. */
export const count = (v) => (known(v) ? grouped.format(v) : none);

/** short writes a number in at most five characters: 942, 17.9k, 1.25M. */
export function short(v) {
  if (!known(v)) return none;
  const a = Math.abs(v);
  for (const [unit, letter] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']]) {
    if (a >= unit * 0.9995) return three(v / unit) + letter;
  }
  return a === 0 || Number.isInteger(v) || a >= 100 ? String(Math.round(v)) : three(v);
}

function three(v) {
  const a = Math.abs(v);
  const text = a >= 99.95 ? v.toFixed(0) : a >= 9.995 ? v.toFixed(1) : v.toFixed(2);
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

/** rate writes a number per second. */
export const rate = (v) => (known(v) ? `${short(v)}/s` : none);

/** bytes writes a size in units of 1000. */
export function bytes(v) {
  if (!known(v) || v < 0) return none;
  for (const [unit, name] of [[1e12, 'TB'], [1e9, 'GB'], [1e6, 'MB'], [1e3, 'kB']]) {
    if (v >= unit) return `${three(v / unit)} ${name}`;
  }
  return `${Math.round(v)} B`;
}

/** duration writes seconds as people say them: 400 ms, 1.5 s, 12 s, 3m 20s, 2h 05m, 3d 4h. */
export function duration(v) {
  if (!known(v)) return none;
  if (v < 0) return `-${duration(-v)}`;
  if (v === 0) return '0 s';
  if (v < 0.9995) return `${v < 0.00995 ? three(v * 1000) : Math.round(v * 1000)} ms`;
  if (v < 9.95) return `${v.toFixed(1).replace('.0', '')} s`;
  if (v < 59.5) return `${Math.round(v)} s`;
  const whole = Math.round(v);
  const [d, hr, m, sec] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, '0');
  if (d > 0) return `${d}d ${hr}h`;
  if (hr > 0) return `${hr}h ${two(m)}m`;
  return `${m}m ${two(sec)}s`;
}

/** percent writes a share from 0 to 1. */
export function percent(v) {
  if (!known(v)) return none;
  const p = v * 100;
  if (p === 0 || p >= 9.95) return `${Math.round(p)} %`;
  return p < 0.01 ? '< 0.01 %' : `${three(p)} %`;
}

/** seconds reads a time, RFC 3339 or Unix seconds, as Unix seconds. */
export const seconds = (t) => (typeof t === 'number' ? t : Date.parse(t) / 1000);

const two = (n) => String(n).padStart(2, '0');

/** clock writes a time of day, local to whoever reads: 15:04:05. */
export function clock(t, parts = 3) {
  const d = new Date(seconds(t) * 1000);
  if (Number.isNaN(d.getTime())) return none;
  return [d.getHours(), d.getMinutes(), d.getSeconds()].slice(0, parts).map(two).join(':');
}

/** millis writes a time of day with milliseconds. */
export function millis(t) {
  const d = new Date(seconds(t) * 1000);
  return Number.isNaN(d.getTime()) ? none : `${clock(t)}.${String(d.getMilliseconds()).padStart(3, '0')}`;
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** day writes a date: 23 Nov. */
export function day(t) {
  const d = new Date(seconds(t) * 1000);
  return Number.isNaN(d.getTime()) ? none : `${d.getDate()} ${months[d.getMonth()]}`;
}

/** moment writes a time, with its day unless that is today. */
export function moment(t, now) {
  return day(t) === day(now) ? clock(t) : `${day(t)} ${clock(t, 2)}`;
}

/** sentence begins with a capital, and leaves out the size that stands above it anyway. */
export function sentence(text) {
  const t = String(text || '').replace(/^\d+ analyzers?: /, '');
  return t.charAt(0).toUpperCase() + t.slice(1);
}

/** plural writes a number and its word. */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** visible makes controls, escapes and marks that turn the direction of writing visible, so that a log line shows what it is
 * and nothing around it changes. */
export function visible(text) {
  return String(text).replace(/(?![\t\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0]/gu,
    (c) => `‹${c.codePointAt(0).toString(16).toUpperCase().padStart(2, '0')}›`);
}

/** level sorts the many ways to write a severity into six. */
export function level(severity) {
  const v = String(severity || '').toLowerCase();
  if (/^(fatal|crit|emerg|alert|panic)/.test(v)) return 'fatal';
  if (/^err/.test(v)) return 'error';
  if (/^warn/.test(v)) return 'warn';
  if (/^(info|notice)/.test(v)) return 'info';
  if (/^(debug|trace|fine|verb)/.test(v)) return 'debug';
  return 'other';
}

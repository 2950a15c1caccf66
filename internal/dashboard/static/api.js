// Asking the server. Every address is relative to the page, so that it works below any base path.

/** ApiError is an answer that is no success: its status, and the words of the server. */
export class ApiError extends Error {
  constructor(status, body) {
    super(body.error || `the server answered ${status}`);
    this.status = status;
    this.hint = body.hint || '';
    this.problems = body.problems || null;
  }

  /** words are the error and what to do about it. */
  get words() { return this.hint ? `${this.message}. ${this.hint}` : this.message; }
}

// Numbers that JavaScript would round, such as IDs of 64 bits, are kept as they were written.
const exact = (key, value, context) => (typeof value === 'number' && context && JSON.rawJSON && !Number.isSafeInteger(value) && /^-?\d+$/.test(context.source)
  ? JSON.rawJSON(context.source) : value);

/** parse reads JSON without losing digits. */
export const parse = (text) => (/\d{16}/.test(text) ? JSON.parse(text, exact) : JSON.parse(text));

/** call asks for a path such as 'v1/stats' and returns the JSON of the answer. */
export async function call(method, path, body, signal) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      signal,
      headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new ApiError(0, { error: 'the server does not answer' });
  }
  if (answer.status === 401) {
    location.reload(); // the page itself asks to sign in then
    throw new ApiError(401, { error: 'signed out' });
  }
  const text = await answer.text();
  let value = {};
  try {
    value = text ? parse(text) : {};
  } catch {
    value = { error: text.slice(0, 200) };
  }
  if (!answer.ok) throw new ApiError(answer.status, value);
  return value;
}

export const get = (path, signal) => call('GET', path, undefined, signal);

/** Poller asks for a path again and again while it is on, one question at a time. The path may be a function, and
 * null to leave out a turn. What fails keeps the last answer. */
export class Poller {
  constructor(path, seconds, got) {
    this.path = path;
    this.seconds = seconds;
    this.got = got;
    this.run = 0;
  }

  start() {
    const run = ++this.run;
    const again = async () => {
      if (run !== this.run) return;
      const path = typeof this.path === 'function' ? this.path() : this.path;
      let wait = path ? this.seconds : 0.2; // what to ask for is known soon
      if (!document.hidden && path) {
        const begun = performance.now();
        try {
          const value = await get(path);
          if (run === this.run) this.got(value, null);
        } catch (e) {
          if (run === this.run) this.got(null, e);
          if (e.status === 404) wait = Math.max(wait, 30);
        }
        wait += Math.min(30, (performance.now() - begun) / 50); // what is slow is asked for less often
      }
      if (run === this.run) this.timer = setTimeout(again, wait * 1000);
    };
    again();
  }

  /** now asks at once instead of at the next turn. */
  now() {
    clearTimeout(this.timer);
    this.start();
  }

  stop() {
    this.run++;
    clearTimeout(this.timer);
  }
}

// A stream of live records. It is closed while nobody looks at the page, and opened again by itself.

import { parse } from './api.js';

/** Stream listens to a path of v1/tail. got(record, length) is called for each record, skipped(n) for those that the sample left out. */
export class Stream {
  constructor(path, got, skipped, state) {
    this.path = path;
    this.got = got;
    this.skipped = skipped || (() => {});
    this.state = state || (() => {});
    this.on = false;
    this.failures = 0;
    this.last = 0; // ID of the newest record; after a break it goes on behind it
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.drop();
      else if (this.on && !this.source) this.connect();
    });
    window.addEventListener('pagehide', () => this.drop());
    window.addEventListener('pageshow', (e) => {
      if (e.persisted && this.on) this.connect();
    });
  }

  /** open begins, at another path if one is given, and then behind a record. */
  open(path, after = 0) {
    if (path) {
      this.path = path;
      this.last = after;
    }
    this.drop();
    this.on = true;
    this.failures = 0;
    if (!document.hidden) this.connect();
  }

  close() {
    this.on = false;
    this.drop();
  }

  drop() {
    clearTimeout(this.timer);
    if (this.source) this.source.close();
    this.source = null;
  }

  connect() {
    const es = new EventSource(this.last ? `${this.path}&after=${this.last}` : this.path);
    this.source = es;
    const take = (name, f) => es.addEventListener(name, (e) => {
      if (es !== this.source) return;
      this.failures = 0;
      let value;
      try {
        value = parse(e.data);
      } catch {
        return;
      }
      f(value, e.data.length);
    });
    take('record', (r, size) => {
      if (r.id) this.last = r.id;
      this.got(r, size);
    });
    take('skipped', (v) => this.skipped(v.records || 0));
    es.addEventListener('open', () => {
      if (es === this.source) this.state('open');
    });
    es.addEventListener('error', () => {
      if (es !== this.source) return;
      this.drop();
      this.state('lost');
      const wait = Math.min(10000, 1000 * 2 ** this.failures++);
      this.timer = setTimeout(() => {
        if (this.on && !document.hidden) this.connect();
      }, wait);
    });
  }
}

// The address of the page: #/tail?edge=done&q=timeout. It names the screen and what is shown there, so that it can be shared, kept
// and gone back to.

import { store, setRange } from './store.js';

/** here reads the address: the screen, and what belongs to it. */
export function here() {
  const text = location.hash.replace(/^#\/?/, '');
  const at = text.indexOf('?');
  return { id: (at < 0 ? text : text.slice(0, at)).split('/')[0], params: new URLSearchParams(at < 0 ? '' : text.slice(at + 1)) };
}

/** told says whether this entry of the history has been written by tell, and not by a link. */
export const told = () => !!(history.state && history.state.told);

/** tell writes into the address what a screen shows; what is empty is left out. step makes an entry that Back returns from. keep is kept
 * with the entry, over a reload. Where the address names another screen already, because somebody is on the way there, it stays. */
export function tell(id, values, step, keep) {
  if (here().id === id) put(id, values, step, keep);
}

/** put writes an address, whatever it was. */
export function put(id, values, step, keep) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== '' && value !== null && value !== undefined) params.set(name, value);
  const query = params.toString().replaceAll('%3A', ':').replaceAll('%2C', ',').replaceAll('%2F', '/');
  const hash = `#/${id}${query ? `?${query}` : ''}`;
  history[step && location.hash !== hash ? 'pushState' : 'replaceState']({ told: true, keep }, '', hash);
}

let picked = null; // the range that somebody chose, in seconds
let before = 0; // the range before that

/** rangeOf lets a screen have the range of its charts in the address: choose is for its buttons, address for the frame. */
export function rangeOf(id, most) {
  const values = () => ({ range: picked });
  const take = (range) => {
    before ||= store.range;
    picked = range;
    setRange(range || before);
  };
  return {
    choose(range) {
      take(range);
      tell(id, values(), true);
    },
    address: {
      values,
      read(params) {
        const range = Number(params.get('range')) || null;
        if (range !== picked && (range === null || (range >= 60 && range <= most))) take(range);
      },
    },
  };
}

// Small tools to build and to change what is shown. Text only ever goes in as text: there is no way here to hand in markup.

const svgNames = 'http://www.w3.org/2000/svg';

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'class') node.setAttribute('class', value);
    else if (name === 'value' || name === 'checked') node[name] = value;
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

/** h makes an HTML element: h('p', {class: 'x'}, 'text', otherNode). */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);

/** s makes an SVG element. */
export const s = (tag, props, ...children) => fill(document.createElementNS(svgNames, tag), props, children);

/** text sets a node's text, and leaves the node alone if it says that already. */
export function text(node, value) {
  const now = String(value);
  if (node.firstChild && node.firstChild === node.lastChild && node.firstChild.nodeType === 3) {
    if (node.firstChild.data !== now) node.firstChild.data = now;
  } else if (node.firstChild || now !== '') {
    node.textContent = now;
  }
}

/** attr sets an attribute, or removes it for null and false. */
export function attr(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else {
    const now = value === true ? '' : String(value);
    if (node.getAttribute(name) !== now) node.setAttribute(name, now);
  }
}

/** show hides and shows. */
export function show(node, visible) {
  if (node.hidden === !!visible) node.hidden = !visible;
}

/** keyed makes the children of parent match items in order. Nodes are kept for the same key, so focus and selection survive;
 * nodes without an item go. make(item) returns a node, change(node, item) brings it up to date. */
export function keyed(parent, items, key, make, change) {
  const have = parent.rowsByKey || (parent.rowsByKey = new Map());
  const wanted = new Set(items.map(key));
  for (const [k, node] of have) {
    if (wanted.has(k)) continue;
    node.remove();
    have.delete(k);
  }
  let at = parent.firstElementChild;
  for (const item of items) {
    const k = key(item);
    let node = have.get(k);
    if (!node) {
      node = make(item);
      have.set(k, node);
    }
    change(node, item);
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
}

/** pooled makes parent have exactly one child for each item, reused by position. */
export function pooled(parent, items, make, change) {
  while (parent.childElementCount > items.length) parent.lastElementChild.remove();
  let node = parent.firstElementChild;
  for (const [i, item] of items.entries()) {
    if (!node) {
      node = make(item, i);
      parent.append(node);
    }
    change(node, item, i);
    node = node.nextElementSibling;
  }
}

/** icon draws one of the page's own icons. */
export function icon(name) {
  const paths = {
    overview: ['M4 13h6V4H4zM14 20h6v-9h-6zM4 20h6v-3H4zM14 7h6V4h-6z'],
    autoscaler: ['M4 18h4v-5h4V9h4V5h4', 'M4 21h16'],
    flow: ['M3 7h5l4 5-4 5H3', 'M12 12h9M18 9l3 3-3 3'],
    tail: ['M4 6h10M4 11h16M4 16h13M4 21h7'],
    dead: ['M12 3l9.5 17h-19z', 'M12 10v4M12 17v.5'],
    analyzers: ['M5 5h5v5H5zM14 5h5v5h-5zM5 14h5v5H5zM14 14h5v5h-5z'],
    results: ['M4 20V10M10 20V4M16 20v-7M21 20H3'],
    sun: ['M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z', 'M12 2.500v2M12 19.500v2M2.5 12h2M19.5 12h2M5.3 5.300l1.4 1.400M17.3 17.300l1.4 1.400M18.7 5.300l-1.4 1.400M6.7 17.300l-1.4 1.4'],
    moon: ['M20 14.500A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.500z'],
    auto: ['M12 3.500a8.5 8.5 0 1 0 0 17z', 'M12 3.500a8.5 8.5 0 0 1 0 17'],
    up: ['M12 19V5M6 11l6-6 6 6'],
    down: ['M12 5v14M6 13l6 6 6-6'],
    note: ['M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z'],
  };
  return s('svg', { viewBox: '0 0 24 24', class: 'ico', 'aria-hidden': 'true' }, (paths[name] || []).map((d) => s('path', { d })));
}

/** toast says something for a few seconds, or until it is clicked away where it is bad news. */
export function toast(message, bad) {
  const all = document.getElementById('toasts');
  const node = h('div', { class: bad ? 'toast bad' : 'toast' }, h('span', null, message),
    h('button', { type: 'button', class: 'quiet', 'aria-label': 'Dismiss', onclick: () => node.remove() }, '×'));
  while (all.childElementCount >= 4) all.firstElementChild.remove();
  all.append(node);
  setTimeout(() => node.remove(), bad ? 15000 : 5000);
}

/** confirm asks a question in a dialog and resolves to true or false. The safe button has the focus. */
export function confirm({ title, body, yes, danger }) {
  return new Promise((resolve) => {
    const no = h('button', { type: 'submit', value: 'no' }, 'Cancel');
    const dialog = h('dialog', { 'aria-labelledby': 'confirm-title' },
      h('form', { method: 'dialog' },
        h('h2', { id: 'confirm-title' }, title),
        h('p', null, body),
        h('div', { class: 'row end' }, no, h('button', { type: 'submit', value: 'yes', class: danger ? 'danger' : 'primary' }, yes))));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    document.body.append(dialog);
    dialog.showModal();
    no.focus();
  });
}

/** panel opens something to read in a dialog with one button to close it. */
export function panel(title, ...children) {
  const dialog = h('dialog', { class: 'wide', 'aria-labelledby': 'panel-title' },
    h('div', { class: 'row between' }, h('h2', { id: 'panel-title' }, title),
      h('button', { type: 'button', class: 'quiet', 'aria-label': 'Close', onclick: () => dialog.close() }, '×')),
    ...children);
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** save hands text to the browser as a file. */
export function save(name, type, content) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const a = h('a', { href: url, download: name });
  document.body.append(a);
  a.click();
  a.remove();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

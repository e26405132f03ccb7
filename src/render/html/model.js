// What the recording holds: tables of texts, a row of numbers for each object, and streams that are read where an object is
// looked at. Nothing here is an object per object: there may be millions.
const $ = (id) => document.getElementById(id);
const DATA = JSON.parse($("data").textContent);

/** The bytes of a stream: base64, in elements. */
function bytesOf(name) {
  const parts = [...document.querySelectorAll(`script.${name}`)].map((part) => {
    const text = part.textContent;
    part.remove();
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const binary = atob(text), bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  });
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return all;
}

/** Reads varints. Numbers are exact to 2^53. */
class Reader {
  constructor(bytes, at = 0) { this.bytes = bytes; this.at = at; }
  next() {
    let byte = this.bytes[this.at++];
    if (byte < 128) return byte;
    let number = byte & 127, unit = 128;
    do {
      byte = this.bytes[this.at++];
      number += (byte & 127) * unit;
      unit *= 128;
    } while (byte >= 128);
    return number;
  }
  signed() { const n = this.next(); return n % 2 ? -(n + 1) / 2 : n / 2; }
}

const COLUMNS = {
  id: Float64Array, type: Uint32Array, size: Float64Array, place: Uint32Array, label: Uint32Array, way: Uint32Array,
  finding: Uint32Array, fault: Float64Array, first: Float64Array, last: Float64Array, events: Float64Array,
  strong: Uint32Array, weak: Uint32Array, handles: Uint32Array, at: Float64Array,
};

/** The objects, a column for each fact. `order` has the living first. */
const objects = (() => {
  const bytes = bytesOf("rows"), columns = Object.keys(COLUMNS).length;
  let numbers = 0;
  for (let i = 0; i < bytes.length; i++) if (bytes[i] < 128) numbers++;
  const count = numbers / columns, table = { count };
  for (const [name, Type] of Object.entries(COLUMNS)) table[name] = new Type(count);
  const from = new Reader(bytes), arrays = Object.keys(COLUMNS).map((name) => table[name]);
  let id = 0, at = 0, alive = 0;
  for (let i = 0; i < count; i++) {
    for (const array of arrays) array[i] = from.next();
    id = table.id[i] += id;
    table.last[i] += table.first[i];
    const length = table.at[i];
    table.at[i] = at;
    at += length;
    if (table.strong[i] > 0) alive++;
  }
  table.alive = alive;
  table.order = new Uint32Array(count);
  let living = 0, gone = alive;
  for (let i = 0; i < count; i++) table.order[table.strong[i] > 0 ? living++ : gone++] = i;
  return table;
})();
const details = bytesOf("details");

const isAlive = (i) => objects.strong[i] > 0;
const labelOf = (i) => objects.label[i] ? DATA.labels[objects.label[i] - 1] : "";
const nameOf = (i) => DATA.types[objects.type[i]];
const op = (number) => DATA.ops[number - 1] || "?";

/** The index of the object with a number, or -1. */
function indexOf(id) {
  let low = 0, high = objects.count - 1;
  while (low <= high) {
    const middle = (low + high) >> 1, at = objects.id[middle];
    if (at === id) return middle;
    if (at < id) low = middle + 1; else high = middle - 1;
  }
  return -1;
}

/** A source location. */
class Place {
  constructor([name, source, file, line, column]) { Object.assign(this, { name, source, file, line, column }); }
  /** What an editor opens. */
  get copied() { return `${this.file}:${this.line}`; }
  /** Its file's name with the folder, as far as a row has room. */
  get short() { return `${this.file.split(/[/\\]/).slice(-2).join("/")}:${this.line}`; }
}
const places = DATA.places.map((place) => new Place(place));

/** The findings: what one line keeps alive. Their addresses are the fingerprints that reports show. */
const findings = DATA.leaks.leaks.map((leak, number) => {
  const { cause } = leak;
  const place = cause.file ? new Place(["", "", cause.file, cause.line, cause.column]) : null;
  if (place) place.name = (places.find((p) => p.file === place.file && p.line === place.line && p.column === place.column) || {}).name || `${place.copied}:${place.column}`;
  return { number, leak, place, key: leak.fingerprint.slice(0, 8), excerpt: DATA.excerpts[number] };
});
const findingOf = (i) => findings[(objects.finding[i] >> 1) - 1];
const isRetained = (i) => objects.finding[i] % 2 === 1;

/** Events and handles of one object: flat tables. */
const POINT = { seq: 0, strong: 1, weak: 2, time: 3, size: 4 };
const LINE = { handle: 0, weak: 1, op: 2, fromObject: 3, from: 4, place: 5, thread: 6, born: 7, end: 8, endOp: 9, endThread: 10, endTime: 11, size: 12 };
function detailsOf(i) {
  const from = new Reader(details, objects.at[i]), count = from.next(), handles = objects.handles[i];
  const points = new Float64Array(count * POINT.size), lines = new Float64Array(handles * LINE.size);
  let seq = 0, time = 0, number = 0;
  for (let at = 0; at < points.length; at += POINT.size) {
    points[at] = seq += from.next();
    points[at + 1] = from.next();
    points[at + 2] = from.next();
    points[at + 3] = time += from.signed();
  }
  const first = objects.first[i];
  for (let at = 0; at < lines.length; at += LINE.size) {
    lines[at] = number += from.next();
    for (let k = 1; k <= 6; k++) lines[at + k] = from.next();
    lines[at + LINE.born] = first + from.signed();
    const end = from.next();
    if (end === 0) { lines[at + LINE.end] = -1; continue; }
    lines[at + LINE.end] = number + end - 1;
    lines[at + LINE.endOp] = from.next();
    lines[at + LINE.endThread] = from.next();
    lines[at + LINE.endTime] = lines[at + LINE.born] + from.signed();
  }
  return { index: i, count, handles, points, lines };
}
/** The place of a handle in an object's table, or -1. They ascend. */
function handleAt(shown, number) {
  let low = 0, high = shown.handles - 1;
  while (low <= high) {
    const middle = (low + high) >> 1, at = shown.lines[middle * LINE.size];
    if (at === number) return middle;
    if (at < number) low = middle + 1; else high = middle - 1;
  }
  return -1;
}

/** The objects that a search finds: each word has to be in the type, the label, the number, the line that allocated it, or
 * a line that made a handle which is alive. */
function find(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return objects.order;
  const tests = words.map((word) => {
    const has = (text) => Number(text.toLowerCase().includes(word));
    const type = Uint8Array.from(DATA.types, has), label = Uint8Array.from(DATA.labels, has);
    const place = Uint8Array.from(places, (p) => has(p.name) || has(`${p.copied}:${p.column}`));
    const way = Uint8Array.from(DATA.ways, (way) => Number(way.some((p) => place[p])));
    const id = /^#\d+$/.test(word) ? Number(word.slice(1)) : -1;
    const state = word === "alive" ? 1 : word === "gone" ? 0 : -1;
    return (i) => type[objects.type[i]] || place[objects.place[i]] || way[objects.way[i]] || (objects.label[i] && label[objects.label[i] - 1])
      || objects.id[i] === id || (state >= 0 && Number(isAlive(i)) === state);
  });
  const found = new Uint32Array(objects.count);
  let count = 0;
  for (const i of objects.order) if (tests.every((test) => test(i))) found[count++] = i;
  return found.subarray(0, count);
}

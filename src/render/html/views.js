// What is drawn: the list, the overview, a finding. Texts of the recording become text nodes, never markup.
const SVG = "http://www.w3.org/2000/svg";
const SVG_NAMES = new Set(["svg", "path", "rect", "line", "text", "g", "title"]);
function el(name, attributes = {}, ...children) {
  const node = SVG_NAMES.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}
const number = (n) => n.toLocaleString("en");
const plural = (n, what) => `${number(n)} ${what}${n === 1 ? "" : "s"}`;
const bytes = (n) => n < 1024 ? `${n} B` : n < 1048576 ? `${(n / 1024).toFixed(1)} KiB` : n < 1073741824 ? `${(n / 1048576).toFixed(1)} MiB` : `${(n / 1073741824).toFixed(1)} GiB`;
const time = (ns) => ns < 1e3 ? `${Math.round(ns)} ns` : ns < 1e6 ? `${(ns / 1e3).toFixed(1)} µs` : ns < 1e9 ? `${(ns / 1e6).toFixed(1)} ms` : ns < 6e10 ? `${(ns / 1e9).toFixed(2)} s` : `${Math.floor(ns / 6e10)} min ${Math.round(ns % 6e10 / 1e9)} s`;
const isNarrow = () => matchMedia("(max-width: 720px)").matches;

/** A line of source that can be copied for an editor. */
function placeOf(place) {
  if (!place) return el("span", { class: "dim" }, "a line that is not known");
  const button = el("button", { class: "copy", title: `Copy ${place.copied}`, "aria-label": `Copy ${place.copied}`, onclick: () => copy(place.copied, button) }, "copy");
  // A narrow screen breaks it between folders.
  const parts = place.name.split("/").flatMap((part, i, all) => i + 1 < all.length ? [`${part}/`, el("wbr")] : [part]);
  return el("span", { class: "place" }, el("code", { title: place.copied }, ...parts), button);
}
async function copy(text, button) {
  let done = true;
  try { await navigator.clipboard.writeText(text); } catch {
    // Without a clipboard of its own, as where the page came by plain HTTP.
    const area = el("textarea", { style: "position:fixed;opacity:0" });
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = done ? "copied" : "not copied";
  setTimeout(() => { button.textContent = "copy"; }, 1500);
}

/** Source lines around a place, the one at fault marked. */
function excerptOf(excerpt, place) {
  if (!excerpt || !place) return null;
  const [from, column, lines] = excerpt;
  if (lines[place.line - from] == null) return null;
  const known = lines.filter((line) => line !== null && line.trim());
  const indent = known.reduce((least, line) => Math.min(least, line.length - line.trimStart().length), 99);
  const shown = lines.map((line, i) => {
    if (line === null) return null;
    const gutter = el("i", {}, String(from + i)), isAt = from + i === place.line;
    if (!isAt) return el("span", {}, gutter, line.slice(indent));
    const chars = [...line], start = Math.min(chars.length, column);
    const length = /^[\p{L}\p{N}_:]*/u.exec(chars.slice(start).join(""))[0].length || 1;
    const text = (a, b) => chars.slice(a, b).join("");
    return el("span", { class: "at" }, gutter, text(Math.min(indent, start), start), el("u", {}, text(start, start + length)), text(start + length));
  });
  return el("pre", { class: "excerpt src" }, ...shown);
}

/** A list of which only what is in sight is in the page. Browsers draw nothing that is higher than some 17 million pixels, so
 * that a longer list is scrolled in larger steps. */
const HIGHEST = 12e6;
function windowOf(count, row, scrolled, height) {
  const whole = count * row, high = Math.min(whole, HIGHEST);
  const inside = Math.max(0, Math.min(scrolled, high - height));
  const top = whole <= HIGHEST ? Math.max(0, scrolled) : inside / (high - height) * (whole - height);
  const first = Math.max(0, Math.floor(top / row) - 5), last = Math.min(count, Math.ceil((top + height) / row) + 5);
  // Where a row stands in the box.
  return { high, first, last, y: (i) => whole <= HIGHEST ? i * row : i * row - top + inside };
}
/** How far to scroll for a row to be in sight. */
function scrollFor(i, count, row, height) {
  const whole = count * row, want = Math.max(0, i * row - height / 3);
  return whole <= HIGHEST ? want : Math.min(1, want / (whole - height)) * (HIGHEST - height);
}
/** Puts rows into a box, and keeps the focus on the one that has it. */
function fill(box, high, rows) {
  const focused = document.activeElement && box.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  box.replaceChildren(el("div", { style: `height:${high}px`, "aria-hidden": "true" }), ...rows);
  if (focused) (rows.find((row) => row.dataset.key === focused) || box).focus({ preventScroll: true });
}

const ITEM = 46;
/** An object in a list. */
function item(i, top, where) {
  const label = labelOf(i), id = objects.id[i];
  // Whether it is alive comes first: a long name leaves no room for what stands behind it.
  const [dot, count] = isAlive(i) ? [el("span", { class: "alive" }, "● "), el("span", { class: "alive" }, `${number(objects.strong[i])} strong`)] : ["", el("span", { class: "dim" }, "gone")];
  const place = places[objects.place[i]];
  return el("button", {
    class: "item", style: `top:${top}px`, "data-id": id, "data-key": `${where}${id}`, "aria-current": String(id === state.o), onclick: () => go({ o: id, z: null, h: null }),
  }, dot, el("b", {}, `#${id} ${nameOf(i)}`), label ? ` “${label}” ` : " ", count, el("small", {}, `${place ? place.short : "?"} · ${plural(objects.events[i], "event")}${where === "f" && isRetained(i) ? " · hangs on the others" : ""}`));
}

let found = objects.order, foundBy = "";
function search() {
  if (state.q !== foundBy) found = find(foundBy = state.q);
  let alive = 0;
  // The living come first.
  for (let low = 0, high = found.length; low < high;) { const middle = (low + high) >> 1; if (isAlive(found[middle])) alive = low = middle + 1; else high = middle; }
  $("count").textContent = `${plural(found.length, "object")}, ${number(alive)} alive`;
  list();
}
function list() {
  const box = $("list"), { high, first, last, y } = windowOf(found.length, ITEM, box.scrollTop, box.clientHeight);
  fill(box, high, Array.from(found.subarray(first, last), (i, k) => item(i, y(first + k), "l")));
}

// Colours by thread; a dash and the thread's name say the same to who sees none.
const HUES = ["#3b82c4", "#d9822b", "#3f9b57", "#b5509b", "#8a7a1f", "#5b6fd6", "#c4504a", "#2a9d9d"];
const DASHES = ["", "6 2", "2 2", "8 2 2 2", "12 3", "4 4", "1 3", "10 2 2 2 2 2"];
const hue = (thread) => HUES[thread % HUES.length];
const dash = (thread) => DASHES[thread % DASHES.length];

const FINDINGS = 20;
/** What a finding says above all: the line, what it keeps, its source. */
function findingHead({ leak, place, excerpt }) {
  const types = leak.objects.map((total) => `${total.count > 1 ? `${number(total.count)} × ` : ""}${total.kind}<${short(total.type)}>`);
  const label = leak.count === 1 && leak.example.label ? ` “${leak.example.label}”` : "";
  const what = `${types.slice(0, 3).join(", ")}${types.length > 3 ? `, and ${plural(types.length - 3, "other type")}` : ""}${label}`;
  return [
    el("div", { class: "title" }, placeOf(place), ` keeps ${leak.count === DATA.leaks.objects ? (leak.count === 1 ? "this object" : `all ${number(leak.count)} objects`) : `${number(leak.count)} of ${number(DATA.leaks.objects)} objects`} alive`),
    excerptOf(excerpt, place) || el("p", { class: "dim" }, leak.cause.op ? `by ${leak.cause.op}; the source is not here, or is not the one that was recorded` : ""),
    el("dl", { class: "facts" },
      el("dt", {}, "objects"), el("dd", {}, `${what}, ${bytes(leak.bytes)}`),
      el("dt", {}, "created"), el("dd", {}, placeText(leak.example), ` on ${leak.example.thread}${leak.count > 1 ? " (the oldest)" : ""}, ${time(leak.age_ns)} old`),
      ...(leak.parts.length ? [el("dt", {}, "of them"), el("dd", {}, leak.parts.map((part) => `${number(part.count)} ${part.part.replace("_", "-")}${part.name ? ` ${part.name}` : ""}`).join(", "))] : []),
      el("dt", {}, "help"), el("dd", {}, leak.help)),
  ];
}
const placeText = ({ file, line, column }) => placeOf(places.find((p) => p.file === file && p.line === line && p.column === column) || new Place([`${file}:${line}:${column}`, "", file, line, column]));
const short = (type) => type.replace(/[\w$]+::/g, "");

function overview() {
  const { leaks } = DATA;
  const cards = findings.slice(0, state.n).map((finding) => el("section", { class: "finding", "data-leak": finding.key }, ...findingHead(finding),
    el("button", { class: "open", "data-key": `open${finding.key}`, onclick: () => go(finding.leak.count === 1 ? { o: finding.leak.ids[0], z: null, h: null } : { f: finding.key, o: null, z: null }) },
      finding.leak.count === 1 ? "Its counts and handles" : `All ${number(finding.leak.count)} objects`)));
  const rest = findings.length - cards.length;
  $("main").replaceChildren(
    el("h1", { tabindex: "-1" }, leaks.verdict),
    DATA.left_out ? el("p", { class: "note" }, DATA.left_out) : "",
    DATA.lost ? el("p", { class: "alive" }, `${plural(DATA.lost, "event")} lost by a full recorder: counts are right, handles may be missing`) : "",
    ...cards,
    rest > 0 ? el("button", { class: "more", "data-key": "more", onclick: () => go({ n: state.n + 100 }, "replace") }, `${plural(rest, "more line")}`) : "",
    ...(DATA.gone.length ? [el("h2", {}, "Gone at the end, and alive shortly before"), el("ul", { class: "mono", id: "gone" }, ...DATA.gone.map((line) => el("li", {}, line)))] : []),
    el("h2", {}, "Live objects over time"), ...overTime(),
    el("p", { class: "dim" }, "A line is where a handle was made, not where it is stored now. Sizes are the values' own, without what they have on the heap."),
    el("p", { class: "dim" }, el("kbd", {}, "/"), " search ", el("kbd", {}, "j"), " ", el("kbd", {}, "k"), " next and previous object ", el("kbd", {}, "Esc"), " overview"));
}

/** How many were alive, by type: areas on top of each other. */
function overTime() {
  const W = Math.max(280, $("main").clientWidth - (isNarrow() ? 26 : 40)), H = 220, LEFT = 48, BINS = 200;
  let end = Math.max(1, DATA.end);
  for (let i = 0; i < objects.count; i++) if (objects.last[i] > end) end = objects.last[i];
  const series = DATA.types.map((name) => ({ name, changes: new Float64Array(BINS + 2), alive: 0, peak: 0 }));
  for (let i = 0; i < objects.count; i++) {
    const one = series[objects.type[i]];
    one.changes[Math.floor(objects.first[i] / end * BINS)] += 1;
    // What ended within a bin was alive in it.
    if (isAlive(i)) one.alive += 1; else one.changes[Math.floor(objects.last[i] / end * BINS) + 1] -= 1;
  }
  for (const one of series) {
    let level = 0;
    one.level = one.changes.subarray(0, BINS + 1).map((change) => level += change);
    one.peak = one.level.reduce((most, value) => Math.max(most, value), 0);
  }
  series.sort((a, b) => b.alive - a.alive || b.peak - a.peak);
  const shown = series.slice(0, 7), rest = series.slice(7);
  if (rest.length) shown.push({ name: plural(rest.length, "other type"), alive: rest.reduce((sum, one) => sum + one.alive, 0), level: shown[0].level.map((_, i) => rest.reduce((sum, one) => sum + one.level[i], 0)) });
  const sums = new Float64Array(BINS + 1);
  for (const one of shown) one.level.forEach((value, i) => { sums[i] += value; });
  const most = sums.reduce((most, value) => Math.max(most, value), 1);
  const x = (i) => LEFT + i / BINS * (W - LEFT - 10), y = (value) => H - 22 - value / most * (H - 40);
  const svg = el("svg", { class: "chart", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "Live objects over time by type" });
  const base = new Float64Array(BINS + 1);
  shown.forEach((one, k) => {
    const upper = Array.from(one.level, (value, i) => `${x(i)},${y(base[i] + value)}`), lower = Array.from(base, (value, i) => `${x(i)},${y(value)}`).reverse();
    svg.append(el("path", { d: `M${upper.join("L")}L${lower.join("L")}Z`, fill: hue(k), "fill-opacity": .75, stroke: "var(--bg)", "stroke-width": 1 }, el("title", {}, `${one.name}: ${number(one.alive)} alive at the end`)));
    one.level.forEach((value, i) => { base[i] += value; });
  });
  svg.append(el("text", { x: LEFT - 6, y: y(most) + 4, "text-anchor": "end" }, number(most)), el("text", { x: LEFT - 6, y: y(0) + 4, "text-anchor": "end" }, "0"),
    el("text", { x: LEFT, y: H - 5 }, "0 s"), el("text", { x: W - 10, y: H - 5, "text-anchor": "end" }, time(end)), el("line", { x1: LEFT, x2: W - 10, y1: y(0), y2: y(0), stroke: "var(--line)" }));
  return [svg, el("p", { class: "legend" }, ...shown.map((one, k) => el("span", {}, el("i", { class: "swatch", style: `background:${hue(k)}` }), `${k + 1} ${one.name}: ${number(one.alive)} alive`)))];
}

/** A finding with all its objects. */
let members = null;
function findingView(finding) {
  const { leak } = finding, mine = [];
  for (let i = 0; i < objects.count; i++) if (objects.finding[i] >> 1 === finding.number + 1) mine.push(i);
  // What only hangs on the others comes after them.
  mine.sort((a, b) => isRetained(a) - isRetained(b) || a - b);
  members = { mine, box: el("div", { class: "virtual", id: "members", tabindex: "-1" }) };
  const handles = leak.handles.map((group) => {
    const way = group.path.map((step) => `${step.op}${step.file ? ` ${step.file.split(/[/\\]/).slice(-2).join("/")}:${step.line}` : ""}`).join(" → ");
    return el("li", { class: group.fault ? "alive" : "dim" }, `${number(group.count)} ${group.strength}: ${way}, on ${group.thread}`);
  });
  $("main").replaceChildren(
    el("h1", { tabindex: "-1" }, `${plural(leak.count, "object")}, kept alive by one line`, el("span", { class: "dim" }, `  [${finding.key}]`)),
    ...findingHead(finding),
    el("h2", {}, "Living handles"), el("ul", { class: "mono" }, ...handles),
    el("h2", {}, "Its objects"), members.box);
  drawMembers();
}
function drawMembers() {
  if (!members) return;
  const { mine, box } = members, main = $("main"), top = box.offsetTop - main.offsetTop;
  const { high, first, last, y } = windowOf(mine.length, ITEM, main.scrollTop - top, main.clientHeight);
  fill(box, high, mine.slice(first, last).map((i, k) => item(i, y(first + k), "f")));
}

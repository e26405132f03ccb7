// One object: its counts and the lifelines of its handles, on one axis.
let view = null;

/** What the axis can show of an object. */
function rangeOf(shown) {
  const i = shown.index;
  if (state.by === "time") return [objects.first[i], Math.max(objects.first[i] + 1, isAlive(i) ? DATA.end : objects.last[i])];
  return [1, objects.events[i] + 1];
}
const at = (seq, time) => state.by === "time" ? time : seq;
const onAxis = (value) => state.by === "time" ? time(value - view.full[0]) : number(Math.round(value));

/** Places for marks on an axis: round numbers. */
function ticks(from, to, most) {
  const rough = (to - from) / Math.max(1, most), unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * unit).find((step) => step >= rough) || unit;
  const base = state.by === "time" ? view.full[0] : 0, marks = [];
  const whole = state.by === "time" ? step : Math.max(1, Math.round(step));
  for (let n = Math.ceil((from - base) / whole); base + n * whole <= to && marks.length < 50; n++) marks.push(base + n * whole);
  return marks;
}

function detail(i) {
  const shown = view && view.shown.index === i ? view.shown : detailsOf(i);
  const full = rangeOf(shown), zoom = state.z || full, box = $("main");
  const narrow = isNarrow(), style = getComputedStyle(box);
  const width = Math.max(260, box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight));
  // Labels are left of what they belong to; on a narrow screen above it.
  // Wider where drops have lines as well.
  let ends = false;
  for (let k = 0; k < shown.handles && !ends; k++) ends = shown.lines[k * LINE.size + LINE.endPlace] > 0;
  const left = narrow ? 30 : Math.min(ends ? 500 : 360, Math.round(width * (ends ? .5 : .36))), plot = width - left;
  const x = (value) => left + 4 + (value - zoom[0]) / (zoom[1] - zoom[0]) * (plot - 16);
  view = { shown, full, zoom, x, width, left, plot, row: narrow ? 44 : 24 };

  const label = labelOf(i), fault = objects.fault[i], finding = findingOf(i);
  const chosen = state.h !== null ? handleAt(shown, state.h) : fault ? handleAt(shown, fault) : -1;
  const threads = new Set();
  for (let k = 0; k < shown.handles; k++) threads.add(shown.lines[k * LINE.size + LINE.thread]);
  const holds = finding && !isAlive(i) ? "Its memory is kept by" : "Kept alive by";
  box.replaceChildren(
    el("h1", { tabindex: "-1" }, `#${objects.id[i]} ${nameOf(i)}${label ? ` “${label}”` : ""} `, isAlive(i) ? el("span", { class: "alive" }, `alive, ${number(objects.strong[i])} strong`) : el("span", { class: "dim" }, "gone")),
    el("p", { class: "dim" }, "created at ", placeOf(places[objects.place[i]]), ` · ${bytes(objects.size[i])} · ${plural(objects.events[i], "event")} · ${plural(shown.handles, "handle")}`),
    ...(chosen >= 0 ? [el("h2", {}, state.h === null ? holds : "Handle"), el("div", { id: "handle" }, ...handleFacts(shown, chosen, finding))] : []),
    finding && finding.leak.count > 1 ? el("button", { class: "more", "data-key": "finding", onclick: () => go({ f: finding.key, o: null, z: null, h: null }) }, isRetained(i) ? `It hangs on what ${finding.place ? finding.place.short : "one line"} keeps: all ${number(finding.leak.count)} objects` : `One of ${number(finding.leak.count)} objects that this line keeps alive`) : "",
    ...balanceView(shown),
    el("h2", {}, "Counts and handles"),
    el("p", { class: "legend dim" }, el("span", { style: "color:var(--strong)" }, "— strong"), el("span", { style: "color:var(--weak)" }, "- - weak"),
      ...[...threads].sort((a, b) => a - b).slice(0, 24).map((thread) => el("span", {}, el("svg", { width: 26, height: 8, "aria-hidden": "true" }, el("line", { x1: 0, x2: 26, y1: 4, y2: 4, stroke: hue(thread), "stroke-width": 4, "stroke-dasharray": dash(thread) })), ` ${DATA.threads[thread]}`)),
      narrow ? "" : el("span", {}, "drag or ", el("kbd", {}, "Ctrl"), "+wheel to zoom, ", el("kbd", {}, "+"), " ", el("kbd", {}, "-"), " ", el("kbd", {}, "←"), " ", el("kbd", {}, "→"), " ", el("kbd", {}, "0"), " all"),
      state.z ? el("button", { class: "copy", "data-key": "all", onclick: () => go({ z: null }, "replace") }, "whole axis") : ""),
    el("div", { class: "plot" }, counts(shown)),
    el("div", { class: "virtual", id: "rows", tabindex: "-1" }));
  lifelines();
}

/** Which lines made strong handles, which ended them, and what each has left: those with most of them first. */
function balance(shown) {
  const made = new Map(), raw = new Map(), id = objects.id[shown.index];
  for (let k = 0; k < shown.handles; k++) {
    const line = (field) => shown.lines[k * LINE.size + field];
    if (line(LINE.weak)) continue;
    // One that was a raw pointer for a while goes on under another number.
    const before = op(line(LINE.op)) === "from raw" && line(LINE.fromObject) === id ? raw.get(line(LINE.from)) : null;
    const key = `${line(LINE.place)} ${line(LINE.op)}`;
    const group = before || made.get(key) || { place: places[line(LINE.place) - 1], op: op(line(LINE.op)), count: 0, alive: 0, ended: new Map() };
    if (!before) {
      made.set(key, group);
      group.count++;
      group.alive++;
    }
    if (line(LINE.end) < 0) continue;
    if (op(line(LINE.endOp)) === "into raw") { raw.set(line(LINE.handle), group); continue; }
    group.alive--;
    const by = `${line(LINE.endPlace)} ${line(LINE.endOp)}`;
    const end = group.ended.get(by) || { place: places[line(LINE.endPlace) - 1], op: op(line(LINE.endOp)), count: 0 };
    end.count++;
    group.ended.set(by, end);
  }
  return [...made.values()].sort((a, b) => b.alive - a.alive || b.count - a.count);
}

/** Lines of a balance, and of what ended one line's handles, that are shown. */
const BALANCE = 12, ENDS = 4;
function balanceView(shown) {
  if (shown.handles < 2) return [];
  const all = balance(shown);
  const rows = all.slice(0, BALANCE).map((made) => {
    const ends = [...made.ended.values()].sort((a, b) => b.count - a.count);
    const rest = ends.slice(ENDS).reduce((sum, end) => sum + end.count, 0);
    return el("li", {},
      el("div", {}, placeOf(made.place), " made ", el("b", {}, `${number(made.count)} × ${made.op}`), ", ",
        made.alive ? el("b", { class: "alive" }, `${number(made.alive)} alive`) : el("span", { class: "dim" }, "none alive")),
      ...ends.slice(0, ENDS).map((end) => el("div", { class: "end" }, `${number(end.count)} × ${end.op}`, ...(end.place ? [" at ", placeOf(end.place)] : []))),
      rest ? el("div", { class: "end dim" }, `${number(rest)} more, on other lines`) : null);
  });
  return [
    el("h2", {}, "Balance by line"),
    el("ul", { class: "balance", id: "balance" }, ...rows),
    all.length > BALANCE ? el("p", { class: "dim" }, `and ${plural(all.length - BALANCE, "more line")}`) : null,
  ].filter(Boolean);
}

/** What is known of a handle. */
function handleFacts(shown, k, finding) {
  const line = (field) => shown.lines[k * LINE.size + field], id = objects.id[shown.index];
  const place = places[line(LINE.place) - 1], alive = line(LINE.end) < 0, ended = alive ? null : places[line(LINE.endPlace) - 1];
  const from = line(LINE.from) ? ` of ${line(LINE.fromObject) === id ? `handle ${line(LINE.from)}` : `#${line(LINE.fromObject)}, handle ${line(LINE.from)}`}` : "";
  const same = finding && finding.place && place && finding.place.name === place.name;
  const source = (same && excerptOf(finding.excerpt, finding.place)) || (place && place.source ? el("pre", { class: "excerpt src" }, el("span", { class: "at" }, el("i", {}, String(place.line)), place.source)) : null);
  return [
    el("div", {}, `handle ${line(LINE.handle)}, ${op(line(LINE.op))}${from} at `, placeOf(place), ` on ${DATA.threads[line(LINE.thread)]}, ${time(line(LINE.born))} after the start; `,
      alive ? el("span", { class: "alive" }, "alive") : el("span", {}, `${op(line(LINE.endOp))} `, ...(ended ? ["at ", placeOf(ended), " "] : []), `on ${DATA.threads[line(LINE.endThread)]} ${time(Math.max(0, line(LINE.endTime) - line(LINE.born)))} later`)),
    source, shown.handles > 8 ? el("button", { class: "more", id: "lifeline", onclick: () => showRow(k) }, "Its lifeline") : null].filter(Boolean);
}

/** The counts, with the axis below them. */
function counts(shown) {
  const { x, width: W, left, zoom, full } = view, H = isNarrow() ? 120 : 150, BOTTOM = 22;
  const { points, count } = shown, key = state.by === "time" ? POINT.time : POINT.seq;
  let peak = 1;
  for (let at = 0; at < points.length; at += POINT.size) peak = Math.max(peak, points[at + 1], points[at + 2]);
  const y = (value) => H - BOTTOM - 4 - value / peak * (H - BOTTOM - 18), value = (k, field) => points[k * POINT.size + field];
  // The last event at or before the left end.
  let low = 0, high = count;
  while (low < high) { const middle = (low + high) >> 1; if (value(middle, key) <= zoom[0]) low = middle + 1; else high = middle; }
  const steps = (field) => {
    let d = "", pixel = -1, least = 0, most = 0, before = null;
    const flush = () => { if (pixel >= 0) d += `V${y(least)}V${y(most)}V${y(before)}`; };
    for (let k = Math.max(0, low - 1); k < count; k++) {
      const px = Math.max(left + 4, Math.min(W - 12, Math.round(x(value(k, key))))), now = value(k, field);
      if (px !== pixel) {
        flush();
        d += before === null ? `M${px},${y(0)}` : `H${px}`;
        pixel = px;
        least = before === null ? 0 : Math.min(before, now);
        most = Math.max(before || 0, now);
      } else { least = Math.min(least, now); most = Math.max(most, now); }
      before = now;
      if (value(k, key) > zoom[1]) break;
    }
    flush();
    return d ? `${d}H${Math.max(left + 4, Math.min(W - 12, x(full[1])))}` : "M0,0";
  };
  const svg = el("svg", { viewBox: `0 0 ${W} ${H}`, width: W, height: H, id: "steps", role: "img", "aria-label": "Strong and weak counts" },
    ...ticks(zoom[0], zoom[1], Math.max(2, Math.floor(view.plot / 110))).filter((mark) => x(mark) < W - 24).map((mark) => el("g", {},
      el("line", { x1: x(mark), x2: x(mark), y1: 4, y2: H - BOTTOM + 2, stroke: "var(--line)" }), el("text", { class: "tick", x: x(mark), y: H - 6, "text-anchor": "middle" }, onAxis(mark)))),
    el("path", { d: steps(POINT.weak), fill: "none", stroke: "var(--weak)", "stroke-width": 1.5, "stroke-dasharray": "5 3" }),
    el("path", { d: steps(POINT.strong), fill: "none", stroke: "var(--strong)", "stroke-width": 2 }),
    el("text", { x: left - 6, y: y(peak) + 4, "text-anchor": "end" }, number(peak)), el("text", { x: left - 6, y: y(0) + 4, "text-anchor": "end" }, "0"),
    isNarrow() ? "" : el("text", { x: 2, y: H - 6 }, state.by === "time" ? "time since its creation" : "event"),
    el("rect", { id: "brush", x: 0, y: 4, width: 0, height: H - BOTTOM - 4, fill: "var(--focus)", "fill-opacity": .2 }));
  brush(svg);
  return svg;
}

/** Scrolls to a handle's row. */
function showRow(k) {
  const rows = $("rows"), box = $("main"), plot = box.querySelector(".plot").offsetHeight;
  box.scrollTop = rows.offsetTop - box.offsetTop - plot + scrollFor(k, view.shown.handles, view.row, box.clientHeight - plot);
  lifelines();
  document.querySelector(`[data-key="h${view.shown.lines[k * LINE.size]}"]`)?.focus({ preventScroll: true });
}

function lifelines() {
  const rows = $("rows");
  if (!rows || !view) return;
  const { shown, x, width: W, left, row, full, plot } = view, box = $("main"), id = objects.id[shown.index], fault = objects.fault[shown.index];
  const top = rows.offsetTop - box.offsetTop, { high, first, last, y } = windowOf(shown.handles, row, box.scrollTop - top, box.clientHeight);
  const edge = left + 4, end = W - 12, clamp = (value) => Math.max(edge, Math.min(end, value)), drawn = [], narrow = row > 30, mid = narrow ? 10 : 12;
  for (let k = first; k < last; k++) {
    const line = (field) => shown.lines[k * LINE.size + field];
    const alive = line(LINE.end) < 0, place = places[line(LINE.place) - 1], thread = line(LINE.thread), handle = line(LINE.handle);
    const ended = alive ? null : places[line(LINE.endPlace) - 1];
    const from = line(LINE.from) ? ` of ${line(LINE.fromObject) === id ? line(LINE.from) : `#${line(LINE.fromObject)}.${line(LINE.from)}`}` : "";
    const to = alive ? full[1] : at(line(LINE.end), line(LINE.endTime));
    const a = clamp(x(at(handle, line(LINE.born)))), b = clamp(x(to));
    const bar = el("svg", { viewBox: `0 0 ${W} 24`, width: W, height: 24, "aria-hidden": "true" });
    const parent = line(LINE.from) && line(LINE.fromObject) === id ? handleAt(shown, line(LINE.from)) : -1;
    if (parent >= 0 && parent < k) {
      // The arrow from the handle that it was made from: as many rows up as that stands.
      bar.append(el("line", { x1: a, x2: a, y1: mid - Math.min(k - parent, 400) * row, y2: mid - 5, stroke: "var(--dim)", "stroke-opacity": .45 }), el("path", { d: `M${a - 3},${mid - 8}L${a + 3},${mid - 8}L${a},${mid - 3}Z`, fill: "var(--dim)" }));
    }
    if (x(to) >= edge && x(at(handle, line(LINE.born))) <= end) bar.append(
      el("line", { x1: a, x2: Math.max(a + 3, b), y1: mid, y2: mid, stroke: hue(thread), "stroke-width": line(LINE.weak) ? 2 : 5, "stroke-dasharray": dash(thread) }),
      alive ? el("path", { d: `M${b - 7},${mid - 6}L${b},${mid}L${b - 7},${mid + 6}Z`, fill: "var(--alive)" }) : el("line", { x1: b, x2: b, y1: mid - 5, y2: mid + 5, stroke: hue(thread), "stroke-width": 2 }));
    drawn.push(el("button", {
      class: `row${fault === handle ? " fault" : ""}`, style: `top:${y(k)}px`, "data-handle": handle, "data-key": `h${handle}`, "aria-current": String(handle === state.h),
      title: place ? place.copied + (ended ? `\n${op(line(LINE.endOp))} at ${ended.copied}` : "") : null, onclick: () => go({ h: state.h === handle ? null : handle }),
    }, el("span", { class: "mono", style: narrow ? null : `width:${W - plot}px` }, el("span", { class: alive ? "alive" : "dim" }, `${alive ? "●" : " "} ${handle} `), `${op(line(LINE.op))}${from} `, el("span", { class: "dim" }, (place ? place.short : "?") + (ended ? ` → ${op(line(LINE.endOp))} ${ended.short}` : ""))), bar));
  }
  fill(rows, high, drawn);
}

function zoomTo(a, b) {
  const { full } = view, least = state.by === "time" ? Math.max(1, (full[1] - full[0]) / 1e6) : 2;
  if (b - a < least) b = a + least;
  a = Math.max(full[0], a); b = Math.min(full[1], Math.max(b, a + least));
  go({ z: a <= full[0] && b >= full[1] ? null : [a, b] }, "replace");
}
function brush(svg) {
  let from = null;
  const value = (event) => {
    const box = svg.getBoundingClientRect(), px = (event.clientX - box.left) / box.width * view.width, share = (px - view.left - 4) / (view.plot - 16);
    return view.zoom[0] + Math.max(0, Math.min(1, share)) * (view.zoom[1] - view.zoom[0]);
  };
  svg.addEventListener("pointerdown", (event) => { from = value(event); svg.setPointerCapture(event.pointerId); });
  svg.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const to = value(event), mark = svg.querySelector("#brush");
    mark.setAttribute("x", view.x(Math.min(from, to)));
    mark.setAttribute("width", Math.abs(view.x(to) - view.x(from)));
  });
  svg.addEventListener("pointercancel", () => { from = null; });
  svg.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const to = value(event), [a, b] = [Math.min(from, to), Math.max(from, to)];
    from = null;
    if ((b - a) / (view.zoom[1] - view.zoom[0]) > .01) zoomTo(a, b);
  });
  // With a key: without one, the wheel scrolls the page.
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const mid = value(event), k = event.deltaY > 0 ? 1.25 : .8;
    zoomTo(mid - (mid - view.zoom[0]) * k, mid + (view.zoom[1] - mid) * k);
  }, { passive: false });
}

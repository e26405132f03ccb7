// What is shown is in the address: a view can be sent to someone, and Back goes to the one before.
const state = { o: null, f: null, h: null, q: "", z: null, by: "events", list: false, n: FINDINGS };
function load() {
  const hash = new URLSearchParams(location.hash.slice(1)), whole = (name) => /^\d+$/.test(hash.get(name) || "") ? Number(hash.get(name)) : null;
  state.o = whole("o");
  state.h = whole("h");
  state.n = whole("n") || FINDINGS;
  state.f = hash.get("f");
  state.q = hash.get("q") || "";
  state.list = hash.has("list");
  const zoom = /^([\d.]+)-([\d.]+)$/.exec(hash.get("z") || "");
  state.z = zoom && Number(zoom[2]) > Number(zoom[1]) ? [Number(zoom[1]), Number(zoom[2])] : null;
  state.by = hash.get("by") === "time" ? "time" : "events";
}
function address() {
  const hash = new URLSearchParams();
  if (state.f !== null) hash.set("f", state.f);
  if (state.o !== null) hash.set("o", state.o);
  if (state.h !== null) hash.set("h", state.h);
  if (state.q) hash.set("q", state.q);
  if (state.z) hash.set("z", state.z.map((x) => Math.round(x * 100) / 100).join("-"));
  if (state.by !== "events") hash.set("by", state.by);
  if (state.list) hash.set("list", "");
  if (state.n !== FINDINGS) hash.set("n", state.n);
  return `#${hash}`;
}
/** Where the reader is, for when he comes back. */
function here() {
  const focused = document.activeElement;
  return { main: $("main").scrollTop, list: $("list").scrollTop, key: (focused && (focused.dataset.key || focused.id)) || null };
}
/** Goes to another view, or changes this one. */
function go(change, how = "push") {
  const opens = "o" in change || "f" in change;
  const before = address();
  // From an object back to its finding, and to the overview, is by Back.
  if ("o" in change && !("f" in change) && change.o === null) change.f = null;
  Object.assign(state, change, opens ? { list: false } : {});
  if (address() === before) return;
  history.replaceState(here(), "");
  history[`${how}State`](null, "", address());
  const scrolled = $("main").scrollTop;
  draw();
  if (opens) {
    $("main").scrollTop = 0;
    scrolledTo();
    // A list keeps the focus for the next step; else the reader is where the new view begins.
    if (!$("list").contains(document.activeElement) || isNarrow()) $("main").querySelector("h1")?.focus({ preventScroll: true });
  } else {
    $("main").scrollTop = scrolled;
    scrolledTo();
    if (change.h !== undefined) document.querySelector(`[data-key="h${change.h ?? ""}"]`)?.focus({ preventScroll: true });
  }
}
function scrolledTo() { lifelines(); drawMembers(); }
function draw() {
  if ($("search").value !== state.q && document.activeElement !== $("search")) $("search").value = state.q;
  $("axis").textContent = state.by === "time" ? "by time" : "by events";
  document.body.classList.toggle("list", state.list);
  $("objects").setAttribute("aria-expanded", String(state.list));
  search();
  const i = state.o === null ? -1 : indexOf(state.o), finding = findings.find((one) => one.key === state.f);
  members = null;
  $("axis").hidden = i < 0;
  if (i >= 0) { detail(i); return; }
  view = null;
  if (finding) findingView(finding); else overview();
}
/** A view that was there before: as it was left. */
function restore(saved) {
  load();
  draw();
  $("list").scrollTop = saved?.list ?? $("list").scrollTop;
  $("main").scrollTop = saved?.main ?? 0;
  list();
  scrolledTo();
  const target = saved?.key && (document.querySelector(`[data-key="${CSS.escape(saved.key)}"]`) || $(saved.key));
  (target || $("main").querySelector("h1"))?.focus({ preventScroll: true });
}
const next = (step) => {
  let at = state.o === null ? -1 : found.indexOf(indexOf(state.o));
  at = at < 0 ? 0 : Math.max(0, Math.min(found.length - 1, at + step));
  if (!found.length) return;
  const box = $("list");
  box.scrollTop = scrollFor(at, found.length, ITEM, box.clientHeight);
  go({ o: objects.id[found[at]], z: null, h: null });
};

let typing = 0;
$("search").addEventListener("input", (event) => {
  clearTimeout(typing);
  const q = event.target.value;
  // Many objects take their time: not at every key.
  typing = setTimeout(() => { $("list").scrollTop = 0; state.q = q; history.replaceState(here(), "", address()); search(); }, objects.count > 50000 ? 150 : 0);
});
$("home").addEventListener("click", () => go({ o: null, f: null, z: null, h: null, list: false }));
$("objects").addEventListener("click", () => go({ list: !state.list }));
$("axis").addEventListener("click", () => go({ by: state.by === "time" ? "events" : "time", z: null }, "replace"));
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
$("list").addEventListener("scroll", () => requestAnimationFrame(list));
$("main").addEventListener("scroll", () => requestAnimationFrame(scrolledTo));
let sized = 0;
addEventListener("resize", () => { cancelAnimationFrame(sized); sized = requestAnimationFrame(() => { const top = $("main").scrollTop; draw(); $("main").scrollTop = top; scrolledTo(); }); });
history.scrollRestoration = "manual";
addEventListener("popstate", (event) => restore(event.state));
addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT") { if (event.key === "Escape") event.target.blur(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const width = view ? view.zoom[1] - view.zoom[0] : 0, mid = view ? (view.zoom[0] + view.zoom[1]) / 2 : 0;
  const keys = {
    "/": () => { if (isNarrow() && !state.list) go({ list: true }); $("search").focus(); },
    j: () => next(1), k: () => next(-1), Escape: () => go({ o: null, f: null, z: null, h: null, list: false }),
    "+": () => view && zoomTo(mid - width / 3, mid + width / 3), "=": () => keys["+"](), "-": () => view && zoomTo(mid - width * .75, mid + width * .75),
    0: () => view && go({ z: null }, "replace"),
    ArrowLeft: () => view && zoomTo(Math.max(view.full[0], view.zoom[0] - width / 4), Math.max(view.full[0], view.zoom[0] - width / 4) + width),
    ArrowRight: () => view && zoomTo(Math.min(view.full[1], view.zoom[1] + width / 4) - width, Math.min(view.full[1], view.zoom[1] + width / 4)),
  };
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});

// The head: which program, when and where.
(() => {
  const { origin } = DATA, sum = `${plural(objects.count, "object")}, ${number(objects.alive)} alive · ${plural(DATA.threads.length, "thread")} · ${time(DATA.end)}`;
  const name = origin && origin.program.split(/[/\\]/).pop();
  const date = origin && origin.started ? `${new Date(origin.started).toISOString().slice(0, 19).replace("T", " ")} UTC` : "";
  $("program").textContent = name ? [name, ...origin.args].join(" ") : "a recording";
  $("program").title = origin ? `${origin.program} in ${origin.dir}, process ${origin.pid}` : "";
  $("origin").textContent = [date, origin && origin.host ? `on ${origin.host}` : "", sum].filter(Boolean).join(" · ");
  document.title = name ? `${name} – refscope` : "refscope";
})();
load();
draw();
document.documentElement.dataset.ready = "1";
window.drawn = performance.now();

"use strict";
// What holds the object that is shown: a section of its own, which follows the address of the page.
(() => {
  const HELD = /*HELD*/null;
  const main = document.getElementById("main");
  const show = () => {
    const o = new URLSearchParams(location.hash.slice(1)).get("o");
    const before = document.getElementById("held");
    if (before && before.dataset.o === o) return;
    if (before) before.remove();
    if (o === null || !main.firstElementChild) return;
    const at = HELD.objects.indexOf(Number(o));
    const text = HELD.objects.length < HELD.all && at < 0 ? `Pictures are in this page for the ${HELD.objects.length} oldest objects.` : null;
    if (at < 0 && !text) return;
    const section = document.createElement("section");
    section.id = "held";
    section.dataset.o = o;
    const title = document.createElement("h3");
    title.textContent = "Held by";
    const picture = document.createElement("div");
    picture.style.overflowX = "auto";
    if (text) picture.textContent = text; else picture.innerHTML = HELD.pictures[at];
    section.append(title, picture);
    const second = main.children[1];
    if (second) second.after(section); else main.append(section);
    main.dispatchEvent(new Event("scroll"));
  };
  new MutationObserver(show).observe(main, { childList: true });
  addEventListener("hashchange", show);
  show();
})();

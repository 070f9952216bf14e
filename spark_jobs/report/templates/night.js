"use strict";
(() => {
  // A box with nothing to scroll is not focusable.
  const fit = () => {
    for (const box of document.querySelectorAll(".scroll")) {
      if (box.scrollWidth > box.clientWidth + 1) box.setAttribute("tabindex", "0");
      else box.removeAttribute("tabindex");
    }
  };
  addEventListener("resize", fit);
  document.addEventListener("toggle", fit, true);
  fit();

  const stage = document.getElementById("map-stage");
  if (!stage) return;
  const svg = stage.querySelector("svg");
  const tip = document.getElementById("map-tip");
  const ring = document.getElementById("map-ring");
  const status = document.getElementById("map-status");
  const NEAR = 16; // of the drawing's units: how close the pointer must come to a mark

  // Mark i is row i of the table below the map: its record is in the page once.
  const rows = document.querySelectorAll("#map-table tbody tr");
  const marks = [...svg.querySelectorAll("g[data-group] > use")].map((use, i) => ({
    x: +use.getAttribute("x"),
    y: +use.getAttribute("y"),
    group: use.parentNode,
    record: [...rows[i].cells].map((cell) => cell.textContent),
  }));
  // The drawing shrinks with the screen; its marks must stay large enough to be distinguished.
  const enlarge = () => {
    const times = Math.min(2.2, Math.max(1, 660 / svg.clientWidth));
    for (const shape of svg.querySelectorAll(".mark-of-map")) {
      shape.setAttribute("transform", `scale(${times * shape.dataset.size})`);
    }
    ring.setAttribute("r", 12 * times);
  };
  addEventListener("resize", enlarge);
  enlarge();
  const visible = () => marks.filter((mark) => !mark.group.hasAttribute("hidden"));
  let current = null;

  const line = (className, text) => {
    const element = document.createElement("span");
    element.className = className;
    element.textContent = text;
    return element;
  };

  function show(mark, announce) {
    current = mark;
    ring.toggleAttribute("hidden", !mark);
    tip.hidden = !mark;
    if (!mark) return;
    const [title, category, brand, items] = mark.record;
    const count = items === "1" ? "1 item" : `${items} items`;
    ring.setAttribute("cx", mark.x);
    ring.setAttribute("cy", mark.y);
    tip.replaceChildren(line("tip-title", title), line("quiet", category), line("quiet", `${brand} · ${count}`));
    const box = svg.viewBox.baseVal;
    const scale = svg.clientWidth / box.width;
    const left = Math.min(Math.max(mark.x * scale - tip.offsetWidth / 2, 4), stage.clientWidth - tip.offsetWidth - 4);
    const above = mark.y * scale - tip.offsetHeight - 14;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 4 ? above : mark.y * scale + 16}px`;
    if (announce) status.textContent = `${title}. Category ${category}. Brand ${brand}. ${count}.`;
  }

  function nearest(x, y, within) {
    let best = null;
    let least = within * within;
    for (const mark of visible()) {
      const distance = (mark.x - x) ** 2 + (mark.y - y) ** 2;
      if (distance < least) [best, least] = [mark, distance];
    }
    return best;
  }

  function under(event) {
    const frame = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / frame.width;
    // On a small screen marks lie close together, and a finger is wide.
    return nearest((event.clientX - frame.left) * scale, (event.clientY - frame.top) * scale, NEAR * Math.max(1, scale));
  }

  stage.addEventListener("pointermove", (event) => show(under(event), false));
  stage.addEventListener("pointerdown", (event) => show(under(event), true));
  stage.addEventListener("pointerleave", () => show(null, false));
  stage.addEventListener("blur", () => show(null, false));
  stage.addEventListener("focus", () => {
    if (!current && stage.matches(":focus-visible")) show(visible()[0] ?? null, true);
  });

  // The next mark in a direction; distance across it counts double.
  function towards(dx, dy) {
    if (!current) return visible()[0] ?? null;
    let best = null;
    let least = Infinity;
    for (const mark of visible()) {
      const ahead = (mark.x - current.x) * dx + (mark.y - current.y) * dy;
      const aside = Math.abs((mark.x - current.x) * dy) + Math.abs((mark.y - current.y) * dx);
      if (mark === current || ahead <= 0) continue;
      const cost = ahead + 2 * aside;
      if (cost < least) [best, least] = [mark, cost];
    }
    return best ?? current;
  }

  const moves = {
    ArrowLeft: () => towards(-1, 0),
    ArrowRight: () => towards(1, 0),
    ArrowUp: () => towards(0, -1),
    ArrowDown: () => towards(0, 1),
    Home: () => visible()[0] ?? null,
    End: () => visible().at(-1) ?? null,
    Escape: () => null,
  };
  stage.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    show(move(), true);
  });

  for (const key of document.querySelectorAll(".legend .key")) {
    key.addEventListener("click", () => {
      const hide = key.getAttribute("aria-pressed") === "true";
      key.setAttribute("aria-pressed", String(!hide));
      svg.querySelector(`g[data-group="${key.dataset.group}"]`)?.toggleAttribute("hidden", hide);
      show(null, false);
    });
  }
})();

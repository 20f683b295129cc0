"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const get = (id) => document.getElementById(id);
  const svg = get("tree"), mark = get("mark"), tip = get("tip"), table = get("table");
  const PAGE = 100;
  const state = { trait: 0, sort: null, down: false, from: 0, order: [] };

  const figure = (value) =>
    value === null ? "" : typeof value === "string" ? value : String(Number(value.toPrecision(6))).replace("-", "\u2212");
  const trait = () => data.traits[state.trait];
  const column = (name) => trait().columns[name];
  const inner = new Set(data.parents.filter((parent, node) => parent !== node));

  // Two tips whose ancestor the node is; one where it has no other.
  const ends = (node) => [...new Set([data.tip_a[node], data.tip_b[node]])].map((end) => data.names[end]);

  function element(name, content) {
    const made = document.createElement(name);
    made.textContent = content;
    return made;
  }

  // What is said of a node where the pointer is.
  function lines(node) {
    const said = trait().kind === "states" ? statesOf(node) : estimateOf(node);
    if (inner.has(node)) {
      const tips = data.n_tips[node] === 1 ? "1 tip" : `${data.n_tips[node]} tips`;
      said.push(`${tips}; ancestor of ${ends(node).join(" and ")}`);
    }
    return said;
  }

  // The states of a node, the most probable first, as far as they can be told from 0.
  function statesOf(node) {
    const shares = Object.keys(trait().columns).filter((key) => key.startsWith("P("))
      .map((key) => [key.slice(2, -1), column(key)[node]]).filter((pair) => pair[1] >= 0.001);
    shares.sort((a, b) => b[1] - a[1]);
    if (!shares.length) shares.push([column("state")[node], column("probability")[node]]);
    const known = shares.filter((pair) => pair[0] !== null), own = column("observed")[node];
    const said = known.length ? known.slice(0, 5).map((pair) => `${pair[0]}: ${figure(pair[1])}`) : ["not estimated"];
    said[0] = `${trait().name}: ${said[0]}`;
    if (own !== null) said.push(`observed: ${own}`);
    return said;
  }

  function estimateOf(node) {
    const said = [], low = column("lower")[node], high = column("upper")[node], own = column("observed")[node];
    said.push(`${trait().name}: ${figure(column("estimate")[node]) || "not estimated"}`);
    if (low !== null && high !== null && low !== high) said.push(`${data.interval}: ${figure(low)} to ${figure(high)}`);
    if (own !== null) said.push(`observed: ${figure(own)}`);
    return said;
  }

  function show(node, x, y) {
    mark.setAttribute("cx", data.x[node]);
    mark.setAttribute("cy", data.y[node]);
    mark.setAttribute("visibility", "visible");
    tip.replaceChildren(element("b", data.names[node]), ...lines(node).map((line) => element("div", line)));
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 4))}px`;
    tip.style.top = `${y + 18 + box.height > innerHeight ? Math.max(4, y - box.height - 12) : y + 18}px`;
  }

  function hide() {
    tip.hidden = true;
    mark.setAttribute("visibility", "hidden");
  }

  function nearest(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let best = 0, least = Infinity;
    for (let node = 0; node < data.x.length; node++) {
      const distance = (data.x[node] - at.x) ** 2 + (data.y[node] - at.y) ** 2;
      if (distance < least) [best, least] = [node, distance];
    }
    return least < 40 ** 2 ? best : -1;
  }

  function point(event) {
    const node = nearest(event);
    if (node < 0) hide();
    else show(node, event.clientX, event.clientY);
  }

  // From a row of the table to its node in the picture.
  function find(node) {
    svg.scrollIntoView({ block: "nearest" });
    const box = svg.parentElement, scale = svg.getBoundingClientRect().height / svg.viewBox.baseVal.height;
    box.scrollTo(data.x[node] * scale - box.clientWidth / 2, data.y[node] * scale - box.clientHeight / 2);
    const at = new DOMPoint(data.x[node], data.y[node]).matrixTransform(svg.getScreenCTM());
    show(node, at.x, at.y);
  }

  const TEXTS = {
    node: (node) => data.names[node],
    parent: (node) => (data.parents[node] === node ? "" : data.names[data.parents[node]]),
    "ancestor of": (node) => (inner.has(node) ? ends(node).join(" + ") : ""),
  };
  const keys = () => ["node", ...Object.keys(trait().columns), "n_tips", "parent", "ancestor of"];
  const value = (key, node) => {
    if (key in TEXTS) return TEXTS[key](node);
    return key === "n_tips" ? data.n_tips[node] : column(key)[node];
  };

  function compare(a, b) {
    const first = value(state.sort, a), second = value(state.sort, b);
    // What is missing comes last, whichever way the column is sorted.
    if (first === null || second === null) return (first === null) - (second === null);
    const less = typeof first === "string" ? (first < second ? -1 : first > second ? 1 : 0) : first - second;
    return state.down ? -less : less;
  }

  function choose() {
    const wanted = get("filter").value.trim().toLowerCase(), which = get("which").value;
    state.order = data.names.map((name, node) => node).filter((node) => {
      if (which !== "all" && (which === "tips") === inner.has(node)) return false;
      return !wanted || ["node", "ancestor of"].some((key) => TEXTS[key](node).toLowerCase().includes(wanted));
    });
    if (state.sort) state.order.sort((a, b) => compare(a, b) || a - b);
    state.from = 0;
    draw();
  }

  function heading() {
    const row = document.createElement("tr");
    for (const key of keys()) {
      const cell = element("th", ""), button = element("button", key.replaceAll("_", " "));
      cell.scope = "col";
      if (key in TEXTS || (trait().kind === "states" && ["observed", "state"].includes(key))) cell.className = "text";
      if (key === state.sort) cell.ariaSort = state.down ? "descending" : "ascending";
      button.type = "button";
      button.addEventListener("click", () => {
        state.down = state.sort === key && !state.down;
        state.sort = key;
        choose();
        heading();
      });
      cell.append(button);
      row.append(cell);
    }
    table.tHead.replaceChildren(row);
  }

  function draw(count = PAGE) {
    const shown = state.order.slice(state.from, state.from + count);
    table.tBodies[0].replaceChildren(...shown.map((node) => {
      const row = document.createElement("tr");
      row.tabIndex = 0;
      row.dataset.node = node;
      for (const key of keys()) {
        const found = value(key, node);
        const cell = element("td", key in TEXTS ? found : figure(found));
        if (typeof found === "string") {
          cell.className = "text";
          cell.title = found;
        }
        row.append(cell);
      }
      return row;
    }));
    const total = state.order.length, last = state.from + shown.length;
    get("shown").textContent = total ? `${state.from + 1} to ${last} of ${total}` : "no such node";
    get("back").disabled = state.from === 0;
    get("next").disabled = last >= total;
  }

  function turn(step) {
    state.from += step;
    draw();
  }

  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointerleave", hide);
  addEventListener("touchmove", hide, { passive: true });
  table.tBodies[0].addEventListener("click", (event) => find(Number(event.target.closest("tr").dataset.node)));
  table.tBodies[0].addEventListener("keydown", (event) => {
    if (event.key === "Enter") find(Number(event.target.closest("tr").dataset.node));
  });
  get("filter").addEventListener("input", choose);
  get("which").addEventListener("change", choose);
  get("back").addEventListener("click", () => turn(-PAGE));
  get("next").addEventListener("click", () => turn(PAGE));
  get("trait").addEventListener("change", (event) => {
    state.trait = Number(event.target.value);
    for (const group of svg.querySelectorAll(".trait")) {
      group.toggleAttribute("hidden", Number(group.dataset.trait) !== state.trait);
    }
    hide();
    heading();
    choose();
  });
  // Paper cannot be turned over by a button.
  addEventListener("beforeprint", () => draw(1000));
  addEventListener("afterprint", () => draw());
  heading();
  choose();
})();

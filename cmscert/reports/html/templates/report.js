"use strict";
const each = (selector, work, root = document) => root.querySelectorAll(selector).forEach(work);

function sortBy(table, column, button) {
  const head = button.parentElement;
  const upwards = head.getAttribute("aria-sort") !== "ascending";
  each("thead th", (other) => other.removeAttribute("aria-sort"), table);
  head.setAttribute("aria-sort", upwards ? "ascending" : "descending");
  const number = head.classList.contains("n");
  const key = (row) => row.cells[column].textContent.trim();
  const compare = (left, right) => {
    const [a, b] = [key(left), key(right)];
    if (!a || !b) return a ? -1 : b ? 1 : 0;
    const apart = number ? Number(a) - Number(b) : NaN;
    const order = Number.isNaN(apart) ? a.localeCompare(b, "en", { numeric: true }) : apart;
    return upwards ? order : -order;
  };
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort(compare));
}

each("table.sorts", (table) => {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => sortBy(table, column, button));
  });
});

each("search.tools", (tools) => {
  const rows = [...document.getElementById(tools.dataset.for).tBodies[0].rows];
  const found = rows.map((row) => `${row.textContent} ${row.dataset.find || ""}`.toLowerCase());
  const [search, loud] = tools.querySelectorAll("input");
  const told = tools.querySelector("[role=status]");
  const show = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, at) => {
      row.hidden = (loud.checked && "calm" in row.dataset) || !words.every((word) => found[at].includes(word));
      count += row.hidden ? 0 : 1;
    });
    told.textContent = count === rows.length ? `${count} rows` : `${count} of ${rows.length} rows`;
  };
  tools.addEventListener("input", show);
  tools.hidden = false;
  show();
});

const folded = () => [...document.querySelectorAll("main details")];
const fold = document.getElementById("fold");
if (folded().length) {
  fold.hidden = false;
  fold.addEventListener("click", () => {
    const open = folded().some((part) => !part.open);
    folded().forEach((part) => { part.open = open; });
    fold.textContent = open ? "Close all" : "Open all";
  });
}

let shut = [];
addEventListener("beforeprint", () => {
  shut = folded().filter((part) => !part.open);
  shut.forEach((part) => { part.open = true; });
});
addEventListener("afterprint", () => shut.forEach((part) => { part.open = false; }));

function unfold() {
  const part = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (part instanceof HTMLDetailsElement) {
    part.open = true;
    part.scrollIntoView();
    part.querySelector("summary").focus({ preventScroll: true });
  }
}
addEventListener("hashchange", unfold);
unfold();

// Sorting, filters and hidden columns. The table is complete without this script.
"use strict";
(() => {
  const table = document.getElementById("board");
  if (!table) return;
  // Flagged rows have a body of their own below the others and stay there.
  const bodies = [...table.querySelectorAll("tbody.ordered")];
  const rows = bodies.flatMap((body) => [...body.rows]);
  const headers = [...table.querySelectorAll("th[data-sort]")];
  const tierBy = document.getElementById("tier-by");
  const status = document.getElementById("shown");

  const valueOf = (row, index) => {
    const text = row.cells[index].dataset.v;
    return text === undefined ? null : Number(text);
  };
  const byName = (a, b) => a.dataset.name.localeCompare(b.dataset.name, "en", { numeric: true });

  function compare(index, sign) {
    if (index === 0) return (a, b) => sign * byName(a, b);
    return (a, b) => {
      const x = valueOf(a, index), y = valueOf(b, index);
      if (x === null || y === null) return (x === null) - (y === null) || byName(a, b);  // missing values stay last
      return sign * (x - y) || byName(a, b);
    };
  }

  // The groups themselves were computed when the board was rendered; here one column's letters are shown.
  function showTiers(header, index) {
    if (!tierBy || index === 0) return;
    tierBy.textContent = header.dataset.title;
    for (const row of rows) row.querySelector(".tier").textContent = row.cells[index].dataset.t || "none";
  }

  function sortBy(header, ascending) {
    const index = Number(header.dataset.index);
    for (const other of headers) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    for (const body of bodies) body.append(...[...body.rows].sort(compare(index, ascending ? 1 : -1)));
    showTiers(header, index);
  }

  for (const header of headers) {
    const label = header.querySelector(".label");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    label.replaceWith(button);
    button.append(label);
    button.addEventListener("click", () => {
      const now = header.getAttribute("aria-sort");
      const bestFirst = header.dataset.sort !== "high";
      sortBy(header, now ? now !== "ascending" : bestFirst);
    });
  }

  const controls = document.getElementById("controls");
  controls.hidden = false;
  const query = document.getElementById("query");
  const family = document.getElementById("family");

  function filter() {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of [...rows, ...document.querySelectorAll("tr.failed")]) {
      const fits = words.every((word) => row.dataset.search.includes(word));
      row.hidden = !(fits && (!family.value || row.dataset.family === family.value));
      count += row.hidden ? 0 : 1;
    }
    status.textContent = `${count} of ${status.dataset.total} entrants shown`;
  }
  query.addEventListener("input", filter);
  family.addEventListener("change", filter);
  filter();

  const boxes = [...controls.querySelectorAll("input[data-section]")];
  const hidden = document.getElementById("hidden-columns");
  const heads = [...table.querySelectorAll("tr.heads > th")];

  function showColumns() {
    for (const box of boxes) {
      for (const cell of table.querySelectorAll(`[data-s="${box.dataset.section}"]`)) cell.hidden = !box.checked;
    }
    const left = heads.filter((head) => !head.hidden).length;
    for (const cell of table.querySelectorAll("td.message")) cell.colSpan = Math.max(left, 1);
    const names = boxes.filter((box) => !box.checked).map((box) => box.dataset.titles);
    hidden.textContent = names.length ? `Hidden until checked: ${names.join(", ")}` : "";
  }
  for (const box of boxes) box.addEventListener("change", showColumns);
  showColumns();
})();

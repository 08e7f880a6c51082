"use strict";
// Sorting: a click or Enter on a column's button sorts by it; numbers by value, everything else as text.
for (const table of document.querySelectorAll("main .scroll > table:not(.slider table)")) {
  const body = table.tBodies[0];
  if (!body || body.rows.length < 3) continue;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].textContent.trim();
      const number = (text) => (/^[-+\u2212]?[\d,]*\.?\d/.test(text) ? parseFloat(text.replace(/,/g, "").replace("\u2212", "-")) : NaN);
      const compare = (a, b) => {
        const [x, y] = [number(key(a)), number(key(b))];
        if (!isNaN(x) && !isNaN(y)) return x - y;
        if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;
        return key(a).localeCompare(key(b));
      };
      const rows = [...body.rows].sort(compare);
      body.append(...(down ? rows.reverse() : rows));
    });
  });
}
// The threshold slider: counts at each threshold are embedded, rates follow from them.
for (const box of document.querySelectorAll(".slider")) {
  const points = JSON.parse(box.dataset.points);
  const positives = Number(box.dataset.positives), negatives = Number(box.dataset.negatives);
  const input = box.querySelector("input");
  const put = (name, text) => { box.querySelector("." + name).textContent = text; };
  const percent = (hits, all) => (all ? (100 * hits / all).toFixed(1) + " %" : "none predicted");
  const show = () => {
    const [threshold, tp, fp] = points[Number(input.value)];
    put("threshold", threshold.toPrecision(4));
    put("recall", percent(tp, positives));
    put("precision", percent(tp, tp + fp));
    put("missed", (positives - tp).toLocaleString("en"));
    put("alarms", fp.toLocaleString("en"));
    put("tp", tp.toLocaleString("en"));
    put("fn", (positives - tp).toLocaleString("en"));
    put("fp", fp.toLocaleString("en"));
    put("tn", (negatives - fp).toLocaleString("en"));
    input.setAttribute("aria-valuetext", "threshold " + threshold.toPrecision(4));
  };
  input.max = points.length - 1;
  input.value = input.getAttribute("value");
  input.addEventListener("input", show);
  show();
  box.hidden = false;
}

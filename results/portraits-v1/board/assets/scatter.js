// Draws the privacy-utility plot from the data in the page.
"use strict";
(() => {
  const { start, text, axis, referenceLines } = boardPlot;
  const axisOf = (list, select) => list.find((one) => one.key === select.value) || list[0];
  const label = (one) => `${text(one.title)}${one.unit ? `, ${text(one.unit)}` : ""} (${one.better})`;
  const number = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : Number(value.toPrecision(3)).toString());
  const told = (one, triple) => {
    const unit = one.unit ? ` ${text(one.unit)}` : "";
    const bounds = one.intervals && triple[1] !== triple[2] ? ` (${number(triple[1])} to ${number(triple[2])})` : "";
    return `${text(one.title)}: ${number(triple[0])}${unit}${bounds}`;
  };
  const bars = (one, triples) => ({
    type: "data", symmetric: false, visible: one.intervals, thickness: 1, width: 0,
    array: triples.map((t) => t[2] - t[0]), arrayminus: triples.map((t) => t[0] - t[1]),
  });
  const lines = (one) => Object.entries(one.anchors).filter(([name]) => name !== "originals");

  function trace(family, index, x, y, front, style) {
    const points = family.points.filter((p) => p.values[x.key] && p.values[y.key]);
    const xs = points.map((p) => p.values[x.key]), ys = points.map((p) => p.values[y.key]);
    const tint = style.tint(index);
    return {
      name: text(family.name), type: "scatter", mode: family.knob ? "lines+markers" : "markers",
      x: xs.map((t) => t[0]), y: ys.map((t) => t[0]), error_x: bars(x, xs), error_y: bars(y, ys),
      text: points.map((p, i) => `<b>${text(p.name)}</b><br>${told(x, xs[i])}<br>${told(y, ys[i])}`),
      customdata: points.map((p) => p.href), hovertemplate: "%{text}<extra></extra>",
      line: { color: tint, width: 1.5 },
      marker: {
        color: tint, symbol: style.symbol(index),
        size: points.map((p) => (front.has(p.href) ? 12 : 8)),
        line: { color: style.ink, width: points.map((p) => (front.has(p.href) ? 2 : 0)) },
      },
    };
  }

  function originals(x, y, ink) {
    if (!("originals" in x.anchors && "originals" in y.anchors)) return [];
    return [{
      name: "originals", type: "scatter", mode: "markers", x: [x.anchors.originals], y: [y.anchors.originals],
      text: [`<b>originals</b><br>${told(x, [x.anchors.originals])}<br>${told(y, [y.anchors.originals])}`],
      hovertemplate: "%{text}<extra></extra>",
      marker: { symbol: "star-open", size: 14, color: ink, line: { width: 1.5 } },
    }];
  }

  function tellMissing(data, x, y) {
    const missing = data.families.flatMap((f) => f.points).filter((p) => !(p.values[x.key] && p.values[y.key]));
    document.getElementById("scatter-missing").textContent = missing.length
      ? `Not drawn, because a value is missing: ${missing.map((p) => p.name).join(", ")}.` : "";
  }

  const selects = { x: document.getElementById("scatter-x"), y: document.getElementById("scatter-y") };

  const draw = start("scatter", (data, style) => {
    const x = axisOf(data.x, selects.x), y = axisOf(data.y, selects.y);
    const front = new Set((data.fronts[x.key] || {})[y.key] || []);
    const traces = data.families.map((family, i) => trace(family, i, x, y, front, style)).filter((t) => t.x.length);
    tellMissing(data, x, y);
    return {
      traces: [...traces, ...originals(x, y, style.ink)],
      layout: {
        ...referenceLines(style, lines(x), lines(y), "dot"),
        xaxis: axis(style, label(x)), yaxis: axis(style, label(y)),
      },
    };
  });
  if (!draw) return;
  document.getElementById("scatter-controls").hidden = false;
  for (const select of Object.values(selects)) select.addEventListener("change", draw);
})();

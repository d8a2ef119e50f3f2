// Draws the privacy-utility plot from the data in the page.
"use strict";
(() => {
  const source = document.getElementById("scatter-data");
  const figure = document.getElementById("scatter");
  if (!source || !figure || typeof Plotly === "undefined") return;
  const data = JSON.parse(source.textContent);
  const LIGHT = ["#1c5d99", "#b3541e", "#3f7d3a", "#8a3b7e", "#9c7a00", "#30808a", "#a3333d", "#5a5f66"];
  const DARK = ["#7cb7ec", "#f0a073", "#8fca86", "#d79bcf", "#dcbf55", "#7fcdd6", "#f0949b", "#b4bac2"];
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "pentagon"];

  // Plotly reads a little HTML in labels; names are text.
  const text = (value) => String(value).replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
  const colour = (name) => {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    figure.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const axisOf = (list, select) => list.find((axis) => axis.key === select.value) || list[0];
  const label = (axis) => `${text(axis.title)}${axis.unit ? `, ${text(axis.unit)}` : ""} (${axis.better})`;
  const number = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : Number(value.toPrecision(3)).toString());
  const told = (axis, triple) => {
    const unit = axis.unit ? ` ${text(axis.unit)}` : "";
    const bounds = axis.intervals && triple[1] !== triple[2] ? ` (${number(triple[1])} to ${number(triple[2])})` : "";
    return `${text(axis.title)}: ${number(triple[0])}${unit}${bounds}`;
  };
  const bars = (axis, triples) => ({
    type: "data", symmetric: false, visible: axis.intervals, thickness: 1, width: 0,
    array: triples.map((t) => t[2] - t[0]), arrayminus: triples.map((t) => t[0] - t[1]),
  });

  function trace(family, index, x, y, palette, ink) {
    const front = new Set((data.fronts[x.key] || {})[y.key] || []);
    const points = family.points.filter((p) => p.values[x.key] && p.values[y.key]);
    const xs = points.map((p) => p.values[x.key]), ys = points.map((p) => p.values[y.key]);
    const tint = palette[index % palette.length];
    return {
      name: text(family.name), type: "scatter", mode: family.knob ? "lines+markers" : "markers",
      x: xs.map((t) => t[0]), y: ys.map((t) => t[0]), error_x: bars(x, xs), error_y: bars(y, ys),
      text: points.map((p, i) => `<b>${text(p.name)}</b><br>${told(x, xs[i])}<br>${told(y, ys[i])}`),
      customdata: points.map((p) => p.href), hovertemplate: "%{text}<extra></extra>",
      line: { color: tint, width: 1.5 },
      marker: {
        color: tint, symbol: SYMBOLS[Math.floor(index / palette.length + index) % SYMBOLS.length],
        size: points.map((p) => (front.has(p.href) ? 12 : 8)),
        line: { color: ink, width: points.map((p) => (front.has(p.href) ? 2 : 0)) },
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

  function referenceLines(x, y, muted) {
    const shapes = [], annotations = [];
    const line = { color: muted, width: 1, dash: "dot" };
    for (const [name, at] of Object.entries(x.anchors)) {
      if (name === "originals") continue;
      shapes.push({ type: "line", xref: "x", yref: "paper", x0: at, x1: at, y0: 0, y1: 1, line, layer: "below" });
      annotations.push({ x: at, y: 1, yref: "paper", text: text(name), showarrow: false, yanchor: "bottom" });
    }
    for (const [name, at] of Object.entries(y.anchors)) {
      if (name === "originals") continue;
      shapes.push({ type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: at, y1: at, line, layer: "below" });
      annotations.push({ x: 1, xref: "paper", y: at, text: text(name), showarrow: false, xanchor: "right",
        yanchor: "bottom" });
    }
    return { shapes, annotations: annotations.map((a) => ({ ...a, font: { size: 11, color: muted } })) };
  }

  const selects = { x: document.getElementById("scatter-x"), y: document.getElementById("scatter-y") };

  function draw() {
    const x = axisOf(data.x, selects.x), y = axisOf(data.y, selects.y);
    const ink = colour("--ink"), muted = colour("--muted"), rule = colour("--rule"), paper = colour("--paper");
    const dark = colour("--scheme") === "rgb(0, 0, 0)";
    const palette = dark ? DARK : LIGHT;
    const traces = data.families.map((family, i) => trace(family, i, x, y, palette, ink)).filter((t) => t.x.length);
    const axis = { gridcolor: rule, linecolor: muted, zeroline: false, showline: true, ticks: "outside",
      tickcolor: muted, automargin: true };
    const narrow = figure.clientWidth < 600;
    Plotly.react(figure, [...traces, ...originals(x, y, ink)], {
      ...referenceLines(x, y, muted),
      xaxis: { ...axis, title: { text: label(x), standoff: 10 } },
      yaxis: { ...axis, title: { text: label(y), standoff: 10 } },
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 13, color: ink },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
      modebar: { bgcolor: "rgba(0,0,0,0)", color: muted, activecolor: ink, orientation: "h" },
      hoverlabel: { align: "left", bgcolor: paper, bordercolor: muted, font: { color: ink } },
      legend: narrow ? { orientation: "h", y: -0.25 } : { itemsizing: "constant" },
      margin: { l: 56, r: 16, t: 40, b: 48 }, height: narrow ? 560 : 500,
    }, { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] });
    const missing = data.families.flatMap((f) => f.points).filter((p) => !(p.values[x.key] && p.values[y.key]));
    document.getElementById("scatter-missing").textContent = missing.length
      ? `Not drawn, because a value is missing: ${missing.map((p) => p.name).join(", ")}.` : "";
  }

  document.getElementById("scatter-controls").hidden = false;
  document.getElementById("scatter-figure").hidden = false;
  for (const select of Object.values(selects)) select.addEventListener("change", draw);
  document.addEventListener("themechange", draw);
  draw();
  figure.on("plotly_click", (event) => {
    const href = event.points[0] && event.points[0].customdata;
    if (href) location.href = href;
  });
})();

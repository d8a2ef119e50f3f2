// Draws the curves of tuning reports, one below the other over the same parameter, from the data in the page.
"use strict";
(() => {
  const { start, text, axis } = boardPlot;
  const HEIGHT = 170, GAP = 0.055;

  const name = (place) => (place === 0 ? "" : String(place + 1));

  function lines(data, panel, place, style) {
    const main = style.tint(place), to = { xaxis: "x", yaxis: `y${name(place)}` };
    const unit = panel.unit ? ` ${panel.unit}` : "";
    const hover = (title, values) => values.map((value, row) => (value === null ? "" :
      `<b>${text(title)}</b><br>${text(data.parameter)} = ${data.x[row]}: ${Number(value.toPrecision(4))}${text(unit)}`));
    const drawn = panel.parts.map((part) => ({
      ...to, name: text(part.title), type: "scatter", mode: "lines", x: data.x, y: part.values,
      text: hover(part.title, part.values), hovertemplate: "%{text}<extra></extra>",
      line: { color: style.muted, width: 1 }, opacity: 0.6,
    }));
    if (panel.low.some((value) => value !== null)) {
      const band = { ...to, type: "scatter", mode: "lines", x: data.x, line: { width: 0 }, hoverinfo: "skip" };
      drawn.push({ ...band, y: panel.low }, { ...band, y: panel.high, fill: "tonexty", fillcolor: faint(main) });
    }
    if (panel.allowed.length) {
      drawn.push({
        ...to, name: "allowed", type: "scatter", mode: "lines", x: data.x, y: panel.allowed,
        text: hover("allowed", panel.allowed), hovertemplate: "%{text}<extra></extra>",
        line: { color: style.ink, width: 1.2, dash: "dash" },
      });
    }
    drawn.push({
      ...to, name: text(panel.title), type: "scatter", mode: "lines+markers", x: data.x, y: panel.values,
      text: hover(panel.title, panel.values), customdata: data.hrefs, hovertemplate: "%{text}<extra></extra>",
      line: { color: main, width: 2 }, marker: { color: main, size: 6 },
    });
    return drawn;
  }

  function faint(colour) {
    const parts = colour.match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16));
    return `rgba(${parts.join(",")},0.16)`;
  }

  function layout(data, style) {
    const count = data.panels.length, high = (1 - GAP * (count - 1)) / count;
    const muted = { size: 12, color: style.ink }, found = { shapes: [], annotations: [] };
    data.panels.forEach((panel, place) => {
      const top = 1 - place * (high + GAP);
      found[`yaxis${name(place)}`] = { ...axis(style, ""), domain: [Math.max(0, top - high), top] };
      const unit = panel.unit ? `, ${text(panel.unit)}` : "";
      found.annotations.push({ text: `<b>${text(panel.title)}</b>${unit}`, x: 0, y: top, xref: "paper", yref: "paper",
        xanchor: "left", yanchor: "bottom", showarrow: false, font: muted });
    });
    if (data.knee !== null) {
      const line = { color: style.muted, width: 1, dash: "dot" };
      found.shapes.push({ type: "line", xref: "x", yref: "paper", x0: data.knee, x1: data.knee, y0: 0, y1: 1, line });
      found.annotations.push({ text: `suggested: ${text(data.parameter)} = ${data.knee}`, x: data.knee, y: 1, yref: "paper",
        xanchor: "left", yanchor: "bottom", xshift: 4, yshift: 16, showarrow: false, font: { size: 11, color: style.muted } });
    }
    const whole = data.x.every(Number.isInteger) && data.x.length <= 25;
    return {
      ...found, showlegend: false, height: 70 + HEIGHT * count, margin: { l: 64, r: 16, t: 44, b: 48 },
      xaxis: { ...axis(style, data.parameter), anchor: `y${name(count - 1)}`, ...(whole ? { tickvals: data.x } : {}) },
    };
  }

  for (const source of document.querySelectorAll("script[data-tuning]")) {
    start(source.id.replace(/-data$/, ""), (data, style) => ({
      traces: data.panels.flatMap((panel, place) => lines(data, panel, place, style)), layout: layout(data, style),
    }));
  }
})();

// What the plots of a board share: their data in the page, colours of the theme, text and layout.
"use strict";
const boardPlot = (() => {
  const LIGHT = ["#1c5d99", "#b3541e", "#3f7d3a", "#8a3b7e", "#9c7a00", "#30808a", "#a3333d", "#5a5f66"];
  const DARK = ["#7cb7ec", "#f0a073", "#8fca86", "#d79bcf", "#dcbf55", "#7fcdd6", "#f0949b", "#b4bac2"];
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "pentagon"];

  // Plotly reads a little HTML in labels; names are text.
  const text = (value) => String(value).replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);

  function colour(figure, name) {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    figure.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  function styleOf(figure) {
    const [ink, muted, rule, paper, scheme] = ["--ink", "--muted", "--rule", "--paper", "--scheme"]
      .map((name) => colour(figure, name));
    const palette = scheme === "rgb(0, 0, 0)" ? DARK : LIGHT;
    return {
      ink, muted, rule, paper, narrow: figure.clientWidth < 600,
      tint: (index) => palette[index % palette.length],
      symbol: (index) => SYMBOLS[Math.floor(index / palette.length + index) % SYMBOLS.length],
    };
  }

  const axis = (style, title) => ({
    gridcolor: style.rule, linecolor: style.muted, tickcolor: style.muted, zeroline: false, showline: true,
    ticks: "outside", automargin: true, title: { text: title, standoff: 10 },
  });

  // Lines at reference values across the whole plot, with their names: [name, place] of the one axis or the other.
  function referenceLines(style, x, y, dash) {
    const line = { color: style.muted, width: 1, dash }, font = { size: 11, color: style.muted };
    const shapes = [], annotations = [];
    for (const [name, at] of x) {
      shapes.push({ type: "line", xref: "x", yref: "paper", x0: at, x1: at, y0: 0, y1: 1, line, layer: "below" });
      annotations.push({ x: at, y: 1, yref: "paper", text: text(name), showarrow: false, yanchor: "bottom", font });
    }
    for (const [name, at] of y) {
      shapes.push({ type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: at, y1: at, line, layer: "below" });
      annotations.push({ x: 1, xref: "paper", y: at, text: text(name), showarrow: false, xanchor: "right",
        yanchor: "bottom", font });
    }
    return { shapes, annotations };
  }

  const layout = (style) => ({
    font: { family: getComputedStyle(document.body).fontFamily, size: style.narrow ? 11 : 13, color: style.ink },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", showlegend: true,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: style.muted, activecolor: style.ink, orientation: "h" },
    hoverlabel: { align: "left", bgcolor: style.paper, bordercolor: style.muted, font: { color: style.ink } },
    legend: style.narrow ? { orientation: "h", y: -0.25 } : { itemsizing: "constant" },
    margin: { l: 56, r: 16, t: 40, b: 48 }, height: style.narrow ? 560 : 500,
  });
  const CONFIG = { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };

  // Draws what `content(data, style)` returns, now and whenever the theme changes; `draw` does so again. A click on a
  // point goes where its `customdata` says.
  function start(name, content) {
    const source = document.getElementById(`${name}-data`);
    const figure = document.getElementById(name);
    if (!source || !figure || typeof Plotly === "undefined") return null;
    const data = JSON.parse(source.textContent);
    document.getElementById(`${name}-figure`).hidden = false;
    const draw = () => {
      const style = styleOf(figure), found = content(data, style);
      Plotly.react(figure, found.traces, { ...layout(style), ...found.layout }, CONFIG);
    };
    document.addEventListener("themechange", draw);
    draw();
    figure.on("plotly_click", (event) => {
      const href = event.points[0] && event.points[0].customdata;
      if (href) location.href = href;
    });
    return draw;
  }

  return { start, text, axis, referenceLines };
})();

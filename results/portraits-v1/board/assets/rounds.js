// Draws what each entrant's own recogniser still names after every round, from the data in the page.
"use strict";
(() => {
  const { start, text, axis, referenceLines } = boardPlot;
  const percent = (share) => `${Number((100 * share).toPrecision(3))} %`;

  function trace(entrant, index, style) {
    const tint = style.tint(index), many = entrant.risk.length > 60;
    return {
      name: text(entrant.name), type: "scatter", mode: many ? "lines" : "lines+markers",
      x: entrant.risk.map((_, round) => round), y: entrant.risk.map((share) => 100 * share),
      text: entrant.risk.map((share, round) => `<b>${text(entrant.name)}</b><br>${when(round)}: ${percent(share)}`),
      customdata: entrant.risk.map(() => entrant.href), hovertemplate: "%{text}<extra></extra>",
      line: { color: tint, width: 1.5 }, marker: { color: tint, symbol: style.symbol(index), size: 6 },
    };
  }

  function when(round) {
    if (round === 0) return "before the first round";
    return `after ${round} ${round === 1 ? "round" : "rounds"}`;
  }

  start("rounds", (data, style) => {
    const targets = [...new Set(data.map((entrant) => entrant.target))];
    const last = Math.max(...data.map((entrant) => entrant.risk.length - 1));
    return {
      traces: data.map((entrant, index) => trace(entrant, index, style)),
      layout: {
        ...referenceLines(style, [], targets.map((share) => [`target: below ${percent(share)}`, 100 * share]), "dash"),
        xaxis: { ...axis(style, "Round"), ...(last <= 10 ? { dtick: 1 } : {}) },
        yaxis: { ...axis(style, "Images still named rightly, %"), rangemode: "tozero" },
      },
    };
  });
})();

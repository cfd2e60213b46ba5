"use strict";
// Draws every figure of the page and gives the timeline buttons that work from the keyboard.
(function () {
  const config = {
    responsive: true,
    displayModeBar: false,
    scrollZoom: false,
  };

  // A narrow chart keeps its plot's height and gets room for a legend in lines of its own.
  function fitPhone(figure) {
    const layout = figure.layout;
    const named = figure.data.filter(function (trace) { return trace.showlegend !== false; }).length;
    const lines = named > 3 ? named : 1;
    layout.font.size = 12;
    layout.margin.l = 44;
    layout.margin.r = 8;
    layout.margin.b = 62 + 18 * lines;
    layout.height += 18 * lines;
    layout.legend = { orientation: "h", x: 0, y: 0, yref: "container", yanchor: "bottom" };
  }

  function draw(source) {
    const plot = document.getElementById("plot-" + source.dataset.plot);
    const figure = JSON.parse(source.textContent);
    const narrow = plot.clientWidth < 480;
    if (narrow) {
      fitPhone(figure);
      plot.style.height = figure.layout.height + "px";
    }
    return Plotly.newPlot(plot, figure.data, figure.layout, config);
  }

  function move(plot, action) {
    const full = plot.dataset.range.split(",").map(Number);
    const [low, high] = plot.layout.xaxis.range.map(Number);
    const width = high - low;
    const next = {
      in: [low + width / 4, high - width / 4],
      out: [low - width / 2, high + width / 2],
      left: [low - width / 3, high - width / 3],
      right: [low + width / 3, high + width / 3],
      all: full,
    }[action];
    Plotly.relayout(plot, { "xaxis.range": next });
  }

  function drawAll(sources) {
    return Promise.all(sources.filter(function (source) { return !source.dataset.drawn; }).map(function (source) {
      source.dataset.drawn = "yes";
      return draw(source);
    }));
  }

  function shown(part) {
    return Array.from(part.querySelectorAll("script[data-plot]")).filter(function (source) {
      return source.closest("details.fold:not([open])") === null;
    });
  }

  function buttons() {
    document.querySelectorAll("button[data-zoom]").forEach(function (button) {
      const plot = document.getElementById(button.getAttribute("aria-controls"));
      if (!plot.layout || button.dataset.ready) { return; }
      button.dataset.ready = "yes";
      plot.dataset.range = plot.dataset.range || plot.layout.xaxis.range.join(",");
      button.addEventListener("click", function () { move(plot, button.dataset.zoom); });
    });
  }

  async function opened(fold) {
    if (!fold.open) { return; }
    await unfold(fold);
    await drawAll(shown(fold));
    buttons();
  }

  async function start() {
    document.querySelectorAll("input[data-filter]").forEach(function (input) {
      const rows = document.getElementById(input.dataset.filter).tBodies[0].rows;
      input.addEventListener("input", function () {
        const wanted = input.value.toLowerCase();
        Array.from(rows).forEach(function (row) {
          row.hidden = !row.textContent.toLowerCase().includes(wanted);
        });
      });
    });
    await loadPlotly();
    const folds = Array.from(document.querySelectorAll("details:has(> script.packed)"));
    folds.forEach(function (fold) { fold.addEventListener("toggle", function () { return opened(fold); }); });
    await Promise.all(folds.map(opened));  // some may have been opened by now
    await drawAll(shown(document));
    buttons();
    document.documentElement.dataset.charts = String(document.querySelectorAll("script[data-drawn]").length);
  }

  function resize() {
    document.querySelectorAll(".plot").forEach(function (plot) { if (plot.data) { Plotly.Plots.resize(plot); } });
  }

  // Hatches of hundreds of blocks take a printer minutes and tens of megabytes; colours remain.
  const hatched = new Map();

  function dense(plot) {
    return plot.data.some(function (trace) {
      return trace.type === "bar" && trace.marker && trace.marker.pattern && (trace.y || []).length > 200;
    });
  }

  function plainBlocks() {
    document.querySelectorAll(".plot").forEach(function (plot) {
      if (hatched.has(plot) || !plot.data || !dense(plot)) { return; }
      const bars = plot.data.map(function (_, index) { return index; }).filter(function (index) {
        return plot.data[index].type === "bar" && plot.data[index].marker.pattern;
      });
      hatched.set(plot, bars.map(function (index) { return [index, plot.data[index].marker.pattern.shape]; }));
      Plotly.restyle(plot, { "marker.pattern.shape": "" }, bars);
    });
  }

  function hatchedBlocks() {
    hatched.forEach(function (shapes, plot) {
      shapes.forEach(function (pair) { Plotly.restyle(plot, { "marker.pattern.shape": pair[1] }, [pair[0]]); });
    });
    hatched.clear();
  }

  window.addEventListener("beforeprint", function () { plainBlocks(); resize(); });
  window.addEventListener("afterprint", function () { hatchedBlocks(); resize(); });
  start();
})();

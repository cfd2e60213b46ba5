// Draws a study: what is chosen, from the points that the page carries.
(function () {
  const BLUE = "#2f7fc4", ORANGE = "#c4641a", GREY = "#818b9a";
  const FONT = { family: "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif", size: 13, color: "#5b6673" };
  const CONFIG = { responsive: true, displayModeBar: false, scrollZoom: false };
  const LONG_AXIS = 24, BINS = 12, PAGE_ROWS = 100, MOST_LINES = 12, MOST_WORDS = 40;
  const study = { columns: [], byName: new Map(), front: [], isFront: [], aims: {}, sensitivity: [] };

  const el = function (id) { return document.getElementById(id); };
  const webgl = (function () {
    const canvas = document.createElement("canvas");
    return Boolean(canvas.getContext("webgl"));
  })();

  // Plotly reads markup in texts: names are none.
  function plain(text) {
    return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  }

  function cell(column, point) {
    const value = column.values[point];
    return value === null || !column.words ? value : column.words[value];
  }

  function said(value) {
    if (value === null || value === undefined) { return "–"; }
    if (typeof value !== "number") { return value; }
    if (Number.isInteger(value)) { return value.toLocaleString("en-US"); }
    return String(Number(value.toPrecision(4)));
  }

  function numeric(column) { return !column.words; }

  function fill(select, columns, chosen) {
    columns.forEach(function (column) {
      const option = document.createElement("option");
      option.value = column.name;
      option.textContent = column.name;
      select.append(option);
    });
    if (chosen) { select.value = chosen.name; }
  }

  function column(id) { return study.byName.get(el(id).value); }

  function layout(x, y, more) {
    const axis = { gridcolor: "rgba(128,138,150,0.25)", zerolinecolor: "rgba(128,138,150,0.5)", automargin: true };
    const title = function (text) { return { text: plain(text), standoff: 8, font: { size: 13 } }; };
    const base = {
      margin: { l: 56, r: 16, t: 16, b: 48 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: FONT, showlegend: false, hoverlabel: { font: FONT, align: "left", bgcolor: "#ffffff" },
      xaxis: Object.assign({ title: title(x) }, axis), yaxis: Object.assign({ title: title(y) }, axis),
    };
    Object.assign(base.xaxis, (more || {}).xaxis);
    Object.assign(base.yaxis, (more || {}).yaxis);
    return base;
  }

  function draw(key, traces, look) { return Plotly.react(el("plot-" + key), traces, look, CONFIG); }

  function shades(values, title) {
    return { color: values, colorscale: "Viridis", showscale: true,
      colorbar: { title: { text: plain(title), side: "right" }, thickness: 12 } };
  }

  // --- Trade-offs -------------------------------------------------------------------------------------------
  function placed(column, points) {
    return points.map(function (point) {
      const value = cell(column, point);
      return typeof value === "string" ? plain(value) : value;
    });
  }

  // Points that no other beats in two columns, in order of the first.
  function bestOfTwo(x, y) {
    const sign = function (name) { return study.aims[name] === "large" ? -1 : 1; };
    const points = study.all.filter(function (p) { return x.values[p] !== null && y.values[p] !== null; });
    const a = sign(x.name), b = sign(y.name);
    points.sort(function (p, q) {
      return a * (x.values[p] - x.values[q]) || b * (y.values[p] - y.values[q]) || p - q;
    });
    const best = [];
    points.forEach(function (p) {
      if (!best.length || b * y.values[p] < b * y.values[best[best.length - 1]]) { best.push(p); }
    });
    return best;
  }

  function axisLook(column, log) {
    if (column.words) {
      return { type: "category", categoryorder: "array", categoryarray: column.words.map(plain) };
    }
    return { type: log ? "log" : "linear" };
  }

  function drawFront() {
    const x = column("front-x"), y = column("front-y"), colour = column("front-colour");
    const kind = webgl ? "scattergl" : "scatter";
    const others = study.all.filter(function (p) { return !study.isFront[p]; });
    const dots = function (points, symbol, size, shade) {
      return { type: kind, mode: "markers", x: placed(x, points), y: placed(y, points), hoverinfo: "text",
        text: points.map(function (p) { return study.texts[p]; }),
        marker: Object.assign({ symbol: symbol, size: size, line: { width: symbol === "diamond" ? 1 : 0, color: ORANGE } },
          shade) };
    };
    const byColour = function (points, scale) {
      if (!colour || !numeric(colour)) { return {}; }
      const values = colour.values.filter(function (value) { return value !== null; });
      const ends = values.reduce(function (found, value) {
        return [Math.min(found[0], value), Math.max(found[1], value)];
      }, [Infinity, -Infinity]);
      const look = shades(points.map(function (p) { return colour.values[p]; }), colour.name);
      return Object.assign(look, { cmin: ends[0], cmax: ends[1], showscale: scale });
    };
    const plainShade = function (shade) { return { color: shade, opacity: 0.75 }; };
    const traces = [
      dots(others, "circle", 5, colour ? byColour(others, true) : plainShade(BLUE)),
      dots(study.front, "diamond", 9, colour ? byColour(study.front, others.length === 0) : plainShade(ORANGE)),
    ];
    if (numeric(x) && numeric(y) && x !== y) {
      const best = bestOfTwo(x, y);
      traces.push({ type: kind, mode: "lines", x: placed(x, best), y: placed(y, best), hoverinfo: "skip",
        line: { color: ORANGE, width: 1.6, dash: "dot" } });
    }
    return draw("front", traces, layout(x.name, y.name, {
      xaxis: axisLook(x, el("front-x-log").checked), yaxis: axisLook(y, el("front-y-log").checked),
    }));
  }

  // --- What matters -----------------------------------------------------------------------------------------
  function drawEffects() {
    const wanted = el("effects-objective").value;
    const effects = study.sensitivity.filter(function (item) { return item.objective === wanted; }).reverse();
    const bars = { type: "bar", orientation: "h", marker: { color: BLUE },
      x: effects.map(function (item) { return item.effect || 0; }),
      y: effects.map(function (item) { return plain("note" in item ? item.axis + " (" + item.note + ")" : item.axis); }),
      hovertemplate: "%{x:.1%}<extra></extra>",
      error_x: { type: "data", symmetric: false, color: GREY, visible: true,
        array: effects.map(function (item) { return "high" in item ? item.high - item.effect : 0; }),
        arrayminus: effects.map(function (item) { return "low" in item ? item.effect - item.low : 0; }) } };
    return draw("effects", [bars], layout("share of its variance", "", {
      xaxis: { tickformat: ".0%", range: [0, 1.02] }, yaxis: { type: "category" },
    }));
  }

  // --- Two axes ---------------------------------------------------------------------------------------------
  // The values of an axis in order, or bins of about equal size, and where every point lies.
  function levels(column) {
    const there = Array.from(new Set(column.values)).filter(function (value) { return value !== null; });
    if (column.words) {
      return { names: column.words, of: function (p) { return column.values[p]; } };
    }
    there.sort(function (a, b) { return a - b; });
    if (there.length <= LONG_AXIS) {
      const place = new Map(there.map(function (value, index) { return [value, index]; }));
      return { names: there.map(said), of: function (p) { return place.get(column.values[p]); } };
    }
    const edges = Array.from({ length: BINS }, function (_, bin) { return there[Math.floor(bin * there.length / BINS)]; });
    const names = edges.map(function (edge, bin) {
      return said(edge) + " – " + said(bin + 1 < BINS ? edges[bin + 1] : there[there.length - 1]);
    });
    return { names: names, of: function (p) {
      const value = column.values[p];
      let bin = value === null ? undefined : 0;
      while (bin + 1 < BINS && value >= edges[bin + 1]) { bin += 1; }
      return bin;
    } };
  }

  function drawMap() {
    const x = column("map-x"), y = column("map-y"), value = column("map-value");
    const across = levels(x), up = levels(y);
    const grid = function (start) {
      return up.names.map(function () { return across.names.map(function () { return start; }); });
    };
    const sum = grid(0), count = grid(0);
    study.all.forEach(function (p) {
      const i = up.of(p), j = across.of(p), v = value.values[p];
      if (i === undefined || j === undefined || i === null || j === null || v === null) { return; }
      sum[i][j] += v;
      count[i][j] += 1;
    });
    const mean = sum.map(function (row, i) {
      return row.map(function (total, j) { return count[i][j] ? total / count[i][j] : null; });
    });
    const trace = { type: "heatmap", z: mean, x: across.names.map(plain), y: up.names.map(plain),
      customdata: count, colorscale: "Viridis", hoverongaps: false, xgap: 1, ygap: 1,
      hovertemplate: "%{x}<br>%{y}<br>mean %{z:,.4r} of %{customdata} points<extra></extra>",
      colorbar: { title: { text: plain(value.name), side: "right" }, thickness: 12 } };
    return draw("map", [trace], layout(x.name, y.name, { xaxis: { type: "category" }, yaxis: { type: "category" } }));
  }

  // --- All axes ---------------------------------------------------------------------------------------------
  function drawParallel() {
    if (!webgl) {
      el("plot-parallel").textContent = "Parallel coordinates need WebGL, which this browser does not offer.";
      return Promise.resolve();
    }
    const colour = column("parallel-colour");
    const dimensions = study.lines.map(function (item) {
      const known = item.values.filter(function (value) { return value !== null; });
      const least = known.reduce(function (a, b) { return Math.min(a, b); }, known.length ? known[0] : 0);
      const dimension = { label: item.name, values: item.values.map(function (v) { return v === null ? least : v; }) };
      if (item.words) {
        const shown = item.words.slice(0, MOST_WORDS);
        dimension.tickvals = shown.map(function (_, index) { return index; });
        dimension.ticktext = shown;
      }
      return dimension;
    });
    const line = colour && numeric(colour) ? shades(colour.values, colour.name) : { color: BLUE };
    const trace = { type: "parcoords", dimensions: dimensions, line: line, labelangle: -18, labelfont: { size: 11 } };
    return draw("parallel", [trace], Object.assign(layout("", ""), { margin: { l: 130, r: 60, t: 90, b: 24 } }));
  }

  // --- Points -----------------------------------------------------------------------------------------------
  const table = { columns: [], filters: new Map(), key: null, down: false, first: 0, rows: [] };

  // Whether a cell passes a filter: a comparison or a span of numbers, or a part of the text.
  function filter(text) {
    const wanted = text.trim().toLowerCase();
    const compared = wanted.match(/^(<=|>=|<|>|=)\s*(-?[0-9.e+-]+)$/);
    const span = wanted.match(/^(-?[0-9.e+-]+?)\.\.(-?[0-9.e+-]+)$/);
    if (compared && !Number.isNaN(Number(compared[2]))) {
      const limit = Number(compared[2]);
      const tests = { "<": function (v) { return v < limit; }, ">": function (v) { return v > limit; },
        "<=": function (v) { return v <= limit; }, ">=": function (v) { return v >= limit; },
        "=": function (v) { return v === limit; } };
      return function (value) { return typeof value === "number" && tests[compared[1]](value); };
    }
    if (span && !Number.isNaN(Number(span[1])) && !Number.isNaN(Number(span[2]))) {
      return function (value) {
        return typeof value === "number" && value >= Number(span[1]) && value <= Number(span[2]);
      };
    }
    return function (value) {
      return value !== null && (String(value).toLowerCase().includes(wanted) || said(value).toLowerCase().includes(wanted));
    };
  }

  function chooseRows() {
    const tests = [];
    table.filters.forEach(function (text, item) {
      if (text.trim() && table.columns.includes(item)) { tests.push([item, filter(text)]); }
    });
    const from = el("table-front").checked ? study.front : study.all;
    table.rows = from.filter(function (p) {
      return tests.every(function (test) { return test[1](cell(test[0], p)); });
    });
    const key = table.key, sign = table.down ? -1 : 1;
    if (key) {
      table.rows.sort(function (p, q) {
        const a = cell(key, p), b = cell(key, q);
        if (a === null || b === null) { return (a === null) - (b === null) || p - q; }
        return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en"))
          || p - q;
      });
    }
    table.first = 0;
    showRows();
  }

  function showRows() {
    const body = document.createElement("tbody");
    table.rows.slice(table.first, table.first + PAGE_ROWS).forEach(function (p) {
      const row = body.insertRow();
      table.columns.forEach(function (item) {
        const box = row.insertCell(), value = cell(item, p);
        box.textContent = said(value);
        if (typeof value === "string") { box.className = "text"; }
      });
    });
    const old = el("points").tBodies[0];
    if (old) { old.replaceWith(body); } else { el("points").append(body); }
    const last = Math.min(table.first + PAGE_ROWS, table.rows.length);
    el("table-count").textContent = table.rows.length
      ? (table.first + 1).toLocaleString("en-US") + " to " + last.toLocaleString("en-US") + " of "
        + table.rows.length.toLocaleString("en-US") + " points"
      : "no point passes the filters";
    el("table-back").disabled = table.first === 0;
    el("table-on").disabled = last === table.rows.length;
  }

  function showHead() {
    const head = document.createElement("thead"), names = head.insertRow(), filters = head.insertRow();
    table.columns.forEach(function (item) {
      const th = document.createElement("th"), button = document.createElement("button");
      th.scope = "col";
      button.type = "button";
      button.className = "sort";
      button.textContent = item.name + (table.key === item ? (table.down ? " ↓" : " ↑") : "");
      th.setAttribute("aria-sort", table.key === item ? (table.down ? "descending" : "ascending") : "none");
      button.addEventListener("click", function () {
        table.down = table.key === item && !table.down;
        table.key = item;
        showHead();
        chooseRows();
      });
      th.append(button);
      names.append(th);
      const input = document.createElement("input");
      input.type = "search";
      input.value = table.filters.get(item) || "";
      input.setAttribute("aria-label", "Filter " + item.name);
      input.addEventListener("input", function () {
        table.filters.set(item, input.value);
        chooseRows();
      });
      filters.insertCell().append(input);
    });
    const old = el("points").tHead;
    if (old) { old.replaceWith(head); } else { el("points").prepend(head); }
  }

  function startTable() {
    const always = study.columns.filter(function (item) {
      return item === study.columns[0] || item.role === "axis" || item.name in study.aims;
    });
    const error = study.columns[study.columns.length - 1];
    if (error.words) { always.push(error); }
    table.columns = always;
    study.columns.forEach(function (item) {
      const label = document.createElement("label"), box = document.createElement("input");
      box.type = "checkbox";
      box.checked = always.includes(item);
      label.append(box, " " + item.name);
      box.addEventListener("change", function () {
        const wanted = new Set(table.columns);
        if (box.checked) { wanted.add(item); } else { wanted.delete(item); }
        table.columns = study.columns.filter(function (other) { return wanted.has(other); });
        showHead();
        chooseRows();
      });
      el("table-columns").append(label);
    });
    el("table-front").addEventListener("change", chooseRows);
    el("table-back").addEventListener("click", function () { table.first -= PAGE_ROWS; showRows(); });
    el("table-on").addEventListener("click", function () { table.first += PAGE_ROWS; showRows(); });
    showHead();
    chooseRows();
  }

  // --- All of it --------------------------------------------------------------------------------------------
  function read(document) {
    Object.assign(study, document);
    study.columns.forEach(function (item) { study.byName.set(item.name, item); });
    study.all = study.columns[0].values.map(function (_, index) { return index; });
    study.front.forEach(function (p) { study.isFront[p] = true; });
    study.axes = study.columns.filter(function (item) { return item.role === "axis"; });
    study.numbers = study.columns.filter(function (item) {
      return numeric(item) && item.values.some(function (value) { return value !== null; });
    });
    study.objectives = Object.keys(study.aims).map(function (name) { return study.byName.get(name); });
    study.objectives = study.objectives.filter(function (item) { return study.numbers.includes(item); });
    study.lines = study.axes.concat(study.objectives.filter(function (item) { return item.role !== "axis"; }));
    study.lines = study.lines.slice(0, MOST_LINES);
    const told = [study.columns[0]].concat(study.lines);
    study.texts = study.all.map(function (p) {
      return told.map(function (item) { return plain(item.name) + ": " + plain(said(cell(item, p))); }).join("<br>");
    });
  }

  function listen(drawing, ids) {
    ids.forEach(function (id) { el(id).addEventListener("change", drawing); });
    return drawing();
  }

  async function start() {
    read(JSON.parse(await unpacked("study")));
    startTable();
    await loadPlotly();
    const metrics = study.numbers.filter(function (item) { return item.role !== "axis"; });
    const aims = study.objectives.concat(metrics.slice(1), study.axes);
    const choices = study.numbers.slice(1).concat(study.axes.filter(function (item) { return item.words; }));
    fill(el("front-x"), choices, aims[0] || study.columns[0]);
    fill(el("front-y"), choices, aims[1] || aims[0] || study.columns[0]);
    fill(el("front-colour"), [{ name: "" }].concat(study.numbers.slice(1)));
    const drawn = [listen(drawFront, ["front-x", "front-y", "front-colour", "front-x-log", "front-y-log"])];
    if (el("plot-effects")) {
      const named = Array.from(new Set(study.sensitivity.map(function (item) { return item.objective; })));
      fill(el("effects-objective"), named.map(function (name) { return { name: name }; }));
      drawn.push(listen(drawEffects, ["effects-objective"]));
    }
    if (el("plot-map")) {
      const value = aims.find(function (item) { return item.role !== "axis"; }) || study.columns[0];
      fill(el("map-x"), study.axes, study.axes[0]);
      fill(el("map-y"), study.axes, study.axes[1]);
      fill(el("map-value"), study.numbers, value);
      drawn.push(listen(drawMap, ["map-x", "map-y", "map-value"]));
    }
    fill(el("parallel-colour"), [{ name: "" }].concat(study.numbers.slice(1)), study.objectives[0]);
    drawn.push(listen(drawParallel, ["parallel-colour"]));
    await Promise.all(drawn);
    document.documentElement.dataset.charts = String(drawn.length);
  }

  start();
})();

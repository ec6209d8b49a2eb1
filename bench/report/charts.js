// Curves and confusion matrices, drawn by Plotly.

let plotly = null;
let turn = Promise.resolve();
const drawn = new Map();

function loadPlotly() {
  // Evaluated for the first chart only: it is large, and most readers want a table.
  plotly ??= unpack(find("#plotly").textContent).then((text) => {
    document.head.append(Object.assign(document.createElement("script"), { textContent: text }));
    return window.Plotly;
  });
  return plotly;
}

function draw(element, traces, layout) {
  drawn.set(element, () => draw(element, traces, layout));
  // One after the other, with a pause, so that the page answers meanwhile.
  turn = turn.then(() => new Promise((go) => setTimeout(go))).then(() => drawNow(element, traces, layout));
}

async function drawNow(element, traces, layout) {
  const library = await loadPlotly();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--edge") };
  const common = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
    font: { color: colour("--ink"), size: 11 },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
  };
  const { xaxis, yaxis, ...rest } = layout;
  await library.react(element, traces(colour), { ...common, ...rest, xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis } },
    { responsive: true, displayModeBar: false });
}

function makeCurve(curve) {
  const said = curve.range
    ? `${curve.name}: first ${curve.range[0]}, least ${curve.range[1]}, greatest ${curve.range[2]}, last ${curve.range[3]}`
    : `${curve.name}: no finite value`;
  const chart = make("div", { class: "chart", role: "img", "aria-label": said });
  const traces = (colour) => [{
    x: curve.steps, y: curve.values, mode: curve.steps.length < 3 ? "markers" : "lines",
    line: { color: colour("--accent"), width: 1.5 }, marker: { color: colour("--accent") },
    hovertemplate: "step %{x}: %{y}<extra></extra>",
  }];
  const layout = { margin: { l: 48, r: 10, t: 8, b: 26 }, xaxis: { nticks: 5, rangemode: "nonnegative" }, yaxis: { nticks: 5 } };
  draw(chart, traces, layout);
  return make("figure", {}, make("figcaption", {}, curve.name), chart);
}

function makeCurves(log) {
  if (!log.curves.length) return [];
  const parts = [];
  for (const stage of new Set(log.curves.map((curve) => curve.stage))) {
    const own = log.curves.filter((curve) => curve.stage === stage);
    parts.push(make("h5", {}, `stage ${stage}`), make("div", { class: "charts" }, ...own.map(makeCurve)));
  }
  const shown = (value) => (value === undefined ? "" : String(value));
  const lines = log.curves.map((curve) =>
    [`${curve.stage}: ${curve.name}`, ...[0, 1, 2, 3].map((place) => shown(curve.range?.[place])), String(curve.logged), String(curve.infinite)]);
  const head = ["Curve", "First", "Least", "Greatest", "Last", "Logged", "Not finite"];
  parts.push(makeDetails("Curves in numbers", makeTable(head, lines, "Curves in numbers")));
  return parts;
}

function drawMatrix(chart, matrix) {
  const { classes, counts } = matrix;
  const sums = counts.map((row) => row.reduce((sum, count) => sum + count, 0));
  const shares = counts.map((row, truth) => row.map((count) => (sums[truth] ? count / sums[truth] : 0)));
  const written = (share) => (share === 0 ? "" : share < 0.0005 ? "<0.1" : (100 * share).toFixed(share < 0.9995 ? 1 : 0));
  const hover = counts.map((row, truth) => row.map((count, guess) =>
    `true ${classes[truth]}, predicted ${classes[guess]}:<br>${count.toLocaleString("en")} of ${sums[truth].toLocaleString("en")}`));
  const ticks = { tickvals: classes.map((_, place) => place), ticktext: classes, showgrid: false, zeroline: false, tickfont: { size: classes.length > 11 ? 9 : 11 } };
  const numbered = classes.length <= 11 && chart.clientWidth > 420;
  const traces = (colour) => [{
    type: "heatmap", z: shares.map((row) => row.map(Math.sqrt)), zmin: 0, zmax: 1, showscale: false,
    colorscale: [[0, colour("--raised")], [1, colour("--accent")]], xgap: 1, ygap: 1,
    text: shares.map((row) => row.map(written)), texttemplate: numbered ? "%{text}" : "", customdata: hover,
    hovertemplate: "%{customdata}<extra></extra>",
  }];
  const layout = {
    margin: { l: 10, r: 10, t: 10, b: 10 },
    xaxis: { ...ticks, title: { text: "predicted class" }, automargin: true, tickangle: classes.some((name) => name.length > 2) ? -60 : 0 },
    yaxis: { ...ticks, title: { text: "true class" }, automargin: true, autorange: "reversed" },
  };
  draw(chart, traces, layout);
}

function makeMatrices(matrices) {
  const chart = make("div", { class: "matrix", role: "img" });
  const numbers = make("div");
  const select = make("select", {}, ...matrices.map((matrix, place) => make("option", { value: place }, matrix.title)));
  const show = () => {
    const matrix = matrices[select.value];
    chart.setAttribute("aria-label", `Confusion matrix of the ${matrix.title}; in numbers below`);
    drawMatrix(chart, matrix);
    const lines = matrix.counts.map((row, truth) => [matrix.classes[truth], ...row.map((count) => count.toLocaleString("en"))]);
    numbers.replaceChildren(makeTable(["true \\ predicted", ...matrix.classes], lines, "Confusion matrix in numbers"));
  };
  select.addEventListener("change", show);
  requestAnimationFrame(show); // once it is in the page and has a width
  return [
    make("p", { class: "quiet" }, "Rows are ground truth, in per cent of each true class. The stronger the colour, the more: it follows the square root."),
    ...(matrices.length > 1 ? [make("label", {}, "Confusion matrix of", select)] : []),
    chart,
    makeDetails("The matrix in numbers", numbers),
  ];
}

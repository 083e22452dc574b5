"""The page's style sheet and script."""

__all__ = ["SCRIPT", "STYLE"]

STYLE = """
:root { --ink: #1a1a1a; --quiet: #5a5a5a; --rule: #e0ddd6; --paper: #ffffff; --wash: #f7f5f0;
  --accent: #0072b2; --warn: #b45f06; }
* { box-sizing: border-box; }
html { color-scheme: light; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
    sans-serif; }
main, header, footer { max-width: 70rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.25rem; }
h1 { font-size: clamp(1.6rem, 4.5vw, 2.3rem); line-height: 1.15; letter-spacing: -0.015em;
  margin: 0 0 0.75rem; text-wrap: balance; }
h2 { font-size: 1.35rem; line-height: 1.25; letter-spacing: -0.01em; margin: 0 0 0.4rem; }
h3 { font-size: 1rem; margin: 0; }
p { margin: 0 0 0.8rem; max-width: 46rem; text-wrap: pretty; }
section { border-top: 1px solid var(--rule); margin-top: 2.25rem; padding-top: 1.5rem; }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: 0.875em; }
.kicker { color: var(--quiet); font-size: 0.8rem; letter-spacing: 0.08em; text-transform: uppercase;
  margin-bottom: 0.35rem; }
.quiet { color: var(--quiet); }
.small { font-size: 0.875rem; }
.notice { background: #fdf3e4; border-left: 4px solid var(--warn); border-radius: 0 4px 4px 0;
  padding: 0.7rem 1rem; margin: 1rem 0; max-width: 48rem; }
.notice p:last-child { margin-bottom: 0; }
ul.findings { margin: 0.9rem 0 0; padding-left: 1.1rem; max-width: 48rem; }
ul.findings li { margin-bottom: 0.3rem; }
.chip { display: inline-block; width: 0.72em; height: 0.72em; border-radius: 2px;
  margin-right: 0.45em; vertical-align: -0.02em; print-color-adjust: exact;
  -webkit-print-color-adjust: exact; }
.scroll { overflow-x: auto; margin: 1rem 0 0.6rem; }
table { border-collapse: collapse; font-size: 0.875rem; min-width: 100%; }
th, td { padding: 0.42rem 0.75rem 0.42rem 0; text-align: left; vertical-align: middle;
  border-bottom: 1px solid var(--rule); }
th { font-weight: 600; color: var(--quiet); vertical-align: bottom; font-size: 0.8rem;
  line-height: 1.3; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
td.words { white-space: normal; min-width: 6.5rem; line-height: 1.3; }
tbody th { color: var(--ink); font-size: 0.875rem; white-space: nowrap; vertical-align: middle; }
tr.group th { color: var(--quiet); font-weight: 500; font-size: 0.8rem; padding-top: 0.9rem;
  border-bottom-color: #c9c5bb; }
td .ends { color: var(--quiet); }
svg.forest { display: block; width: 130px; height: 22px; }
figure { margin: 0; min-width: 0; }
figcaption, .caption { color: var(--quiet); font-size: 0.875rem; max-width: 46rem; }
figcaption { margin-top: 0.35rem; }
.panels { display: grid; gap: 1.1rem 1.8rem; margin-top: 0.9rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.panels.small { grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr));
  font-size: inherit; }
.panels > figure { max-width: 34rem; }
.panels h3 { font-size: 0.95rem; }
.chart { width: 100%; min-width: 0; }
.key { display: flex; align-items: center; flex-wrap: wrap; gap: 0.2rem 0.6rem; color: var(--quiet);
  font-size: 0.8rem; margin: 0.6rem 0 0; }
.key .ramp { position: relative; width: 11rem; height: 0.75rem; border: 1px solid #c9c5bb;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.key .ramp i { position: absolute; top: -3px; bottom: -3px; width: 2px; background: var(--warn); }
.controls { display: flex; align-items: center; flex-wrap: wrap; gap: 0.4rem;
  margin: 0.7rem 0 0.2rem; }
.controls button { font: inherit; font-size: 0.8125rem; color: var(--ink); background: var(--paper);
  border: 1px solid #bdb9af; border-radius: 999px; padding: 0.18rem 0.8rem; cursor: pointer; }
.controls button[aria-pressed="true"] { background: var(--ink); border-color: var(--ink);
  color: #fff; }
.legend { display: flex; flex-wrap: wrap; gap: 0.1rem 1.1rem; margin: 0.5rem 0 0.1rem; }
.legend button { font: inherit; font-size: 0.875rem; color: var(--ink); background: none; border: 0;
  padding: 0.1rem 0; cursor: pointer; }
.legend button[aria-pressed="false"] { opacity: 0.4; text-decoration: line-through; }
.line { display: inline-block; width: 1.5rem; height: 0; border-top: 3px solid currentColor;
  margin-right: 0.4rem; vertical-align: 0.28em; }
.line.dashed { border-top-style: dashed; }
.controls input[type="range"] { flex: 1 1 8rem; max-width: 22rem; accent-color: var(--accent); }
.controls output { font-size: 0.8125rem; color: var(--quiet); font-variant-numeric: tabular-nums; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.films { display: grid; gap: 1.25rem; margin-top: 0.9rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
.films img { display: block; max-width: 100%; height: auto; border: 1px solid var(--rule);
  border-radius: 4px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.3rem 1.25rem; margin: 0.9rem 0;
  font-size: 0.9rem; max-width: 56rem; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--wash); border-radius: 4px; padding: 0.8rem 1rem; margin: 0.8rem 0;
  white-space: pre-wrap; overflow-wrap: anywhere; max-width: 56rem; }
pre.long { max-height: 22rem; overflow: auto; }
details summary { cursor: pointer; color: var(--accent); font-size: 0.9rem; }
footer { color: var(--quiet); font-size: 0.8125rem; padding-top: 1.25rem; padding-bottom: 2.5rem;
  margin-top: 2.25rem; }
@media (max-width: 40rem) {
  main, header, footer { padding-left: 1rem; padding-right: 1rem; }
  header { padding-top: 1.5rem; }
  tbody th, thead th:first-child { position: sticky; left: 0; background: var(--paper);
    z-index: 1; }
  .panels.small { grid-template-columns: 1fr 1fr; gap: 0.8rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 0.5rem; }
}
@media print {
  body { font-size: 10.5pt; }
  main, header, footer { max-width: none; padding: 0; }
  section { margin-top: 1.2rem; padding-top: 0.9rem; }
  figure, tr, .notice, .films figure { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .panels { grid-template-columns: 1fr 1fr; gap: 0.8rem; }
  .panels.small { grid-template-columns: 1fr 1fr 1fr; }
  .scroll { overflow: visible; }
  table { font-size: 7.5pt; }
  tbody th { font-size: 7.5pt; }
  th, td { padding-right: 0.4rem; }
  svg.forest { width: 90px; }
  .controls button, .controls input, details { display: none; }
  th { font-size: 7.5pt; }
  pre.long { max-height: none; }
}
"""

SCRIPT = """
(() => {
  "use strict";
  const charts = JSON.parse(document.getElementById("charts").textContent);
  // On a touch screen a finger on a chart must scroll the page, not zoom the chart.
  const coarse = matchMedia("(pointer: coarse)").matches;
  const config = {
    responsive: true, displaylogo: false, displayModeBar: false, doubleClick: "reset",
  };
  const boxes = [];
  for (const [id, {start, states}] of Object.entries(charts)) {
    const box = document.getElementById(id);
    const figure = box.closest("figure");
    const hidden = new Set();
    let current = start;
    const show = (i) => {
      current = i;
      const data = states[i].data.map((d) => ({...d, visible: !hidden.has(d.legendgroup)}));
      Plotly.react(
        box, data, {...states[i].layout, dragmode: coarse ? false : "zoom"}, config);
    };
    show(start);
    for (const entry of figure.querySelectorAll("button[data-arm]")) {
      entry.addEventListener("click", () => {
        const arm = entry.dataset.arm;
        if (!hidden.delete(arm)) hidden.add(arm);
        entry.setAttribute("aria-pressed", String(!hidden.has(arm)));
        show(current);
      });
    }
    boxes.push(box);
    const buttons = figure.querySelectorAll("button[data-state]");
    for (const button of buttons) {
      button.addEventListener("click", () => {
        show(Number(button.dataset.state));
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      });
    }
    const slider = figure.querySelector("input[type=range]");
    if (slider) {
      const told = figure.querySelector("output");
      slider.addEventListener("input", () => {
        const i = Number(slider.value);
        told.textContent = states[i].name;
        slider.setAttribute("aria-valuetext", states[i].name);
        show(i);
      });
    }
  }
  // Paper is narrower than most screens: draw for its width, then go back.
  addEventListener("beforeprint", () => {
    for (const box of boxes) {
      const panels = box.closest(".panels");
      const width = !panels ? 680 : panels.classList.contains("small") ? 216 : 330;
      Plotly.relayout(box, {width: width});
    }
  });
  addEventListener("afterprint", () => {
    for (const box of boxes) Plotly.relayout(box, {width: null, autosize: true});
  });
  document.documentElement.dataset.charts = String(boxes.length);
})();
"""

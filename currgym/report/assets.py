"""The page's style sheet."""

__all__ = ["STYLE"]

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
h3 .quiet { font-weight: 400; }
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
.panels.wide { grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
.panels.wide > figure { max-width: none; }
.about { color: var(--quiet); font-size: 0.8rem; line-height: 1.35; margin: 0.1rem 0 0;
  overflow-wrap: anywhere; }
.keys { display: flex; flex-wrap: wrap; gap: 0 2rem; }
.stack { display: flex; width: 9rem; height: 0.9rem; border: 1px solid #8a8a8a; }
.stack i { display: block; height: 100%; print-color-adjust: exact;
  -webkit-print-color-adjust: exact; }
button.sort { font: inherit; color: inherit; background: none; border: 0; padding: 0;
  text-align: inherit; cursor: pointer; }
button.sort::after { content: "\\2195"; color: #a9a499; margin-left: 0.25em; font-size: 0.85em; }
th[aria-sort="ascending"] button.sort::after { content: "\\2191"; color: var(--ink); }
th[aria-sort="descending"] button.sort::after { content: "\\2193"; color: var(--ink); }
.uses { display: block; color: var(--quiet); font-size: 0.75rem; font-weight: 400; }
svg.gain { display: block; width: 19rem; height: auto; print-color-adjust: exact;
  -webkit-print-color-adjust: exact; }
svg.gain text { font: 11px system-ui, sans-serif; fill: #5a5a5a; font-weight: 400; }
table.gains th, table.gains td { padding-right: 0.6rem; }
table.gains td { padding-top: 0.55rem; padding-bottom: 0.55rem; }
table.gains td.fact, table.gains td.words { font-size: 0.8125rem; }
td.parts { white-space: nowrap; }
td.parts .part { display: block; font-size: 0.8125rem; line-height: 17px; }
td.parts .part:first-child { line-height: 26px; }
td.parts strong { font-variant-numeric: tabular-nums; }
td .ends, .part .ends { color: var(--quiet); }
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
.controls select { font: inherit; font-size: 0.875rem; max-width: 100%; padding: 0.15rem 0.3rem; }
.controls label { font-size: 0.875rem; }
.controls.slider { position: sticky; top: 0; background: var(--paper); z-index: 2;
  padding: 0.4rem 0; }
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
  /* One row a block: the teacher, its picture, its numbers. */
  table.gains, table.gains tbody, table.gains tr, table.gains td { display: block; }
  table.gains thead { display: block; }
  table.gains thead tr { display: flex; flex-wrap: wrap; gap: 0.1rem 0.9rem; }
  table.gains thead th { border: 0; padding: 0; position: static; }
  table.gains thead th:nth-child(2) { order: 99; width: 100%; text-align: left; }
  table.gains thead th:not(:has(button)) { display: none; }
  table.gains tbody th { display: block; position: static; border: 0; padding: 0.7rem 0 0.1rem; }
  table.gains tbody tr { border-bottom: 1px solid var(--rule); padding-bottom: 0.6rem; }
  table.gains td { border: 0; padding: 0 !important; }
  table.gains td.fact { display: inline-block; margin-right: 0.9rem; color: var(--quiet); }
  table.gains td.fact::before { content: attr(data-label) ": "; }
  table.gains td.parts { white-space: normal; }
  svg.gain { width: 100%; }
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
  svg.gain { width: 15rem; }
  td.parts .part { font-size: 6.5pt; }
  table.gains td.fact, table.gains td.words { font-size: 7pt; }
  .controls button, .controls input, .controls select, .controls label, .screen,
    details:not(.said), details.said summary, button.sort::after { display: none; }
  .controls.slider { position: static; }
  .panels.wide { grid-template-columns: 1fr 1fr; }
  th { font-size: 7.5pt; }
  pre.long { max-height: none; }
}
"""

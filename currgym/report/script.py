"""The page's script: draws the charts, moves between their states, sorts tables."""

__all__ = ["SCRIPT"]

SCRIPT = """
(() => {
  "use strict";
  const charts = JSON.parse(document.getElementById("charts").textContent);
  // On a touch screen a finger on a chart must scroll the page, not zoom the chart.
  const coarse = matchMedia("(pointer: coarse)").matches;
  const config = {
    responsive: true, displaylogo: false, displayModeBar: false, doubleClick: "reset",
  };
  const drawn = new Map();
  const react = (box, data, layout) =>
    Plotly.react(box, data, {...layout, dragmode: coarse ? false : "zoom"}, config);

  // Charts with states: a measure, an axis, a time.
  const withStates = (id, spec) => {
    const box = document.getElementById(id);
    const figure = box.closest("figure");
    const about = figure.querySelector(".about");
    const hidden = new Set();
    const own = {box, spec, current: spec.start, moment: null};
    own.show = (i) => {
      own.current = i;
      const state = spec.states[i];
      const data = state.data.map((d) => ({...d, visible: !hidden.has(d.legendgroup)}));
      const layout = {...state.layout};
      if (own.moment) {
        const [x0, x1] = own.moment;
        layout.shapes = [{...layout.shapes[0], x0, x1}, ...layout.shapes.slice(1)];
      }
      react(box, data, layout);
      if (about) about.textContent = state.about || "";
    };
    for (const entry of figure.querySelectorAll("button[data-arm]")) {
      entry.addEventListener("click", () => {
        const arm = entry.dataset.arm;
        if (!hidden.delete(arm)) hidden.add(arm);
        entry.setAttribute("aria-pressed", String(!hidden.has(arm)));
        own.show(own.current);
      });
    }
    const buttons = figure.querySelectorAll("button[data-state]");
    for (const button of buttons) {
      button.addEventListener("click", () => {
        own.show(Number(button.dataset.state));
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      });
    }
    const slider = figure.querySelector("input[type=range]");
    if (slider) {
      const told = figure.querySelector("output");
      slider.addEventListener("input", () => {
        const i = Number(slider.value);
        told.textContent = spec.states[i].name;
        slider.setAttribute("aria-valuetext", spec.states[i].name);
        own.show(i);
      });
    }
    own.show(spec.start);
    drawn.set(id, own);
  };

  // One test task at a time, from numbers kept once for all of them.
  const drill = (id, spec) => {
    const box = document.getElementById(id);
    const pick = document.querySelector(`select[data-drill="${id}"]`);
    const middle = spec.times.slice(1).map((t, i) => 0.5 * (t + spec.times[i]));
    const faint = (colour) => colour + "48";
    const show = (task) => {
      const data = [];
      for (const arm of spec.arms) {
        const rows = arm.seeds.map((seed) => seed.map((row) => row[task]));
        const x = [], y = [];
        for (const row of rows) {
          row.forEach((v, k) => { x.push(arm.steps[k]); y.push(v); });
          x.push(null); y.push(null);
        }
        const line = {color: arm.colour, width: 2.3, dash: arm.dash};
        if (rows.length > 1) {
          data.push({type: "scatter", mode: "lines", x, y, hoverinfo: "skip",
            line: {color: faint(arm.colour), width: 1}});
        }
        const mean = arm.mean.map((row) => row[task]);
        data.push({type: "scatter", mode: "lines", x: arm.steps, y: mean, line, name: arm.label,
          hovertemplate: "%{y:.3g}"});
        if (arm.near.length) {
          data.push({type: "scatter", mode: "lines", x: middle, y: arm.near[task], yaxis: "y2",
            line: {...line, shape: "hvh", width: 1.5}, name: arm.label,
            hovertemplate: "%{y} attempts"});
        }
      }
      react(box, data, {...spec.layout, hovermode: "closest"});
    };
    pick.addEventListener("change", () => show(Number(pick.value)));
    for (const button of document.querySelectorAll(`button[data-drill="${id}"]`)) {
      button.addEventListener("click", () => {
        const count = spec.names.length;
        pick.value = (Number(pick.value) + Number(button.dataset.move) + count) % count;
        show(Number(pick.value));
      });
    }
    show(spec.start);
    drawn.set(id, {box, spec, show});
  };

  for (const [id, spec] of Object.entries(charts)) {
    (spec.kind === "drill" ? drill : withStates)(id, spec);
  }

  // Sliders and buttons that drive all charts of a section.
  const within = (prefix, strips) => [...drawn].filter(([id, own]) =>
    own.spec.group && id.startsWith(`chart-${prefix}-`)
      && (own.spec.moments.length > 0) === strips).map(([, own]) => own);
  for (const slider of document.querySelectorAll("input[data-group]")) {
    const names = slider.dataset.names.split("|");
    const told = slider.parentElement.querySelector("output");
    const move = () => {
      const i = Number(slider.value);
      told.textContent = names[i];
      slider.setAttribute("aria-valuetext", names[i]);
      for (const own of within(slider.dataset.of, false)) own.show(i);
      for (const own of within(slider.dataset.of, true)) {
        own.moment = own.spec.moments[i];
        Plotly.relayout(own.box,
          {"shapes[0].x0": own.moment[0], "shapes[0].x1": own.moment[1]});
      }
    };
    slider.addEventListener("input", move);
    // Every chart of the section begins where the slider stands.
    for (const own of within(slider.dataset.of, false)) {
      if (own.current !== Number(slider.value)) own.show(Number(slider.value));
    }
  }
  const choosers = [...document.querySelectorAll("button[data-strips]")];
  for (const button of choosers) {
    button.addEventListener("click", () => {
      const prefix = button.dataset.strips;
      for (const own of within(prefix, true)) own.show(Number(button.dataset.state));
      for (const other of choosers) {
        if (other.dataset.strips === prefix) {
          other.setAttribute("aria-pressed", String(other === button));
        }
      }
    });
  }
  // What was drawn inside something closed has no width until it opens.
  for (const details of document.querySelectorAll("details")) {
    details.addEventListener("toggle", () => {
      for (const {box} of drawn.values()) if (details.contains(box)) Plotly.Plots.resize(box);
    });
  }

  // Tables: a click on a column's head sorts by it, another one turns it round.
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value !== undefined ? cell.dataset.value : cell.textContent.trim();
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    for (const button of table.querySelectorAll("button.sort")) {
      const head = button.closest("th");
      const column = heads.indexOf(head);
      button.addEventListener("click", () => {
        const number = button.dataset.kind === "number";
        const first = number ? "descending" : "ascending";
        const second = number ? "ascending" : "descending";
        const order = head.getAttribute("aria-sort") === first ? second : first;
        for (const other of heads) {
          if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
        }
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
        // Groups have no meaning in another order.
        for (const row of body.querySelectorAll("tr.group")) row.hidden = true;
        const toNumber = (text) => {
          const value = text === "-inf" ? -Infinity : parseFloat(text);
          return Number.isNaN(value) ? -Infinity : value;
        };
        rows.sort((a, b) => {
          const x = valueOf(a, column), y = valueOf(b, column);
          if (!number) return sign * x.localeCompare(y);
          const p = toNumber(x), q = toNumber(y);
          return p === q ? 0 : sign * (p < q ? -1 : 1);
        });
        body.append(...rows);
      });
    }
  }

  // Paper is narrower than most screens: draw for its width, then go back. Definitions open.
  const closed = () => document.querySelectorAll("details.said:not([open])");
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...closed()];
    for (const details of opened) details.open = true;
    for (const {box} of drawn.values()) {
      const panels = box.closest(".panels");
      const width = !panels ? 680 : panels.classList.contains("small") ? 216 : 330;
      Plotly.relayout(box, {width: width});
    }
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
    for (const {box} of drawn.values()) Plotly.relayout(box, {width: null, autosize: true});
  });
  document.documentElement.dataset.charts = String(drawn.size);
})();
"""

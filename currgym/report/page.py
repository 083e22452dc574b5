"""The report: one self-contained HTML page of a comparison or a run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from currgym.report.assets import SCRIPT, STYLE
from currgym.report.charts import (
    STRIP_PERIODS,
    Chart,
    curves_chart,
    dense_top,
    mastery_cells_chart,
    mastery_lines_chart,
    model_chart,
    preview_chart,
    steps_chart,
    strip_chart,
)
from currgym.report.colours import MASTERY_RAMP, STEPS_RAMP, colours
from currgym.report.data import Arm, Study, load
from currgym.report.elements import (
    NUMBER,
    axis_note,
    capital,
    colour_key,
    controls,
    escape,
    film_figure,
    forest,
    forest_extent,
    number_cell,
    section,
)
from currgym.report.maps import ELLIPSE_SDS, mastery_map, steps_map, view_of
from currgym.report.text import (
    count,
    difference_text,
    duration,
    join,
    level_text,
    number,
    plain_env,
)
from currgym.report.words import (
    about,
    by_privileges,
    configuration_entries,
    crosses,
    findings,
    many_teachers,
    notices,
    repeating_command,
    shortened,
    uses_text,
)

__all__ = ["render", "write_page"]

FILM_BYTES = 2_000_000
"""Films are embedded up to this total, so that the page stays below 8 MB."""

_COUNTS = {
    "attempts": "attempts",
    "steps": "steps",
    "probes": "probes",
    "probe_steps": "probe steps",
    "cancelled": "cancelled",
    "cancelled_steps": "cancelled steps",
    "evaluations": "evaluation episodes",
    "evaluation_steps": "evaluation steps",
    "updates": "gradient updates",
    "scoring_passes": "scoring passes",
    "teacher_trainings": "models trained for the teacher",
}


def write_page(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a comparison or run folder; return the file.

    Args:
        folder: Where the runs are.
        out: The file to write; None writes ``report.html`` into the folder.

    Raises:
        ValueError: If the folder is neither a comparison nor a run, or is damaged.
    """
    path = Path(out) if out is not None else Path(folder) / "report.html"
    page = render(load(folder))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def render(study: Study) -> str:
    """Return the whole page."""
    from plotly.offline import get_plotlyjs

    page = _Page(study)
    body = "\n".join(
        [
            page.header(),
            "<main>",
            page.results(study),
            page.curves(study),
            page.where(study),
            page.mastered(study),
            page.models(study),
            page.beside(),
            page.films(),
            page.ledger(study),
            page.configuration(study),
            page.repeat(study),
            "</main>",
            page.footer(),
        ]
    )
    # "<" cannot end the script element in this form, whatever a label says.
    data = json.dumps(page.charts, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(page.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n"
        "<noscript><p>The charts need JavaScript; <code>currgym figure</code> draws still ones."
        "</p></noscript>\n"
        f'<script type="application/json" id="charts">{data}</script>\n'
        f"<script>{get_plotlyjs()}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


@dataclass
class _Page:
    """Builds the sections and collects the charts' specifications."""

    study: Study
    charts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        labels = [arm.label for arm in self.study.arms]
        if self.study.supervised is not None:
            labels += [arm.label for arm in self.study.supervised.arms]
        self.palette = colours(labels, self.study.baseline)

    @property
    def title(self) -> str:
        study = self.study
        if study.single:
            return f"{study.arms[0].label} on {plain_env(study.env)}, seed {study.seeds[0]}"
        return f"{many_teachers(study)} on {plain_env(study.env)}"

    # Sections ------------------------------------------------------------------------------------

    def header(self) -> str:
        study = self.study
        parts = [
            '<header>\n<p class="kicker">currgym report</p>',
            f"<h1>{escape(self.title)}</h1>",
            f"<p>{about(study)}</p>",
            *notices(study),
            "</header>",
        ]
        return "\n".join(parts)

    def results(self, study: Study) -> str:
        metric = study.metric
        base = study.baseline_arm
        who = "supervised students" if study is self.study.supervised else "students"
        head = "How far the student got" if study.single else f"How far the {who} got"
        notes = [
            "Square brackets: 95&nbsp;% t intervals of the mean over seeds, cut at what the "
            "measure can be. In the small plots every faint dot is a seed."
        ]
        if base is not None and len(study.arms) > 1:
            how = "paired by seed" if study.kind == "supervised" else "Welch"
            unit = " in percentage points" if metric.name == "mastered" else ""
            notes.append(
                f"Differences from {escape(base.label)}{unit} carry 95&nbsp;% intervals ({how}), "
                "not corrected for the number of teachers."
            )
            if any(crosses(arm, base) for arm in study.arms):
                notes.append(
                    f"&#8224; uses other information than {escape(base.label)}: not a comparison "
                    "of equals."
                )
        below = "" if study.single else f'<p class="quiet small">{" ".join(notes)}</p>'
        return section(
            head,
            findings(study) + self.table(study) + below,
            "results" if study is self.study else "results-supervised",
        )

    def table(self, study: Study) -> str:
        metric, base = study.metric, study.baseline_arm
        compared = base is not None and len(study.arms) > 1
        head = ["Teacher", "Seeds", f"{capital(metric.label.removesuffix(' (%)'))} at the end", ""]
        if compared and base is not None:
            head.append(f"Difference from {escape(base.label)}")
        steps = "Examples" if study.kind == "supervised" else "Steps"
        head += [f"{steps} a run", "Probe steps", "Evaluation steps", "Wall-clock", "Verdict"]
        words = {"Teacher", "", "Verdict"}
        row = "".join(f'<th scope="col"{"" if h in words else NUMBER}>{h}</th>' for h in head)
        low, high = forest_extent(study)
        body = []
        for privileges, arms in by_privileges(study.arms):
            if privileges or len(by_privileges(study.arms)) > 1:
                told = uses_text(privileges)
                body.append(
                    f'<tr class="group"><th colspan="{len(head)}" scope="colgroup">{told}</th></tr>'
                )
            for arm in arms:
                body.append(self.row(study, arm, compared, (low, high)))
        return (
            '<div class="scroll" tabindex="0" role="region" aria-label="Results">\n<table>\n'
            f"<thead><tr>{row}</tr></thead>\n<tbody>\n{chr(10).join(body)}\n</tbody>\n</table></div>"
        )

    def row(self, study: Study, arm: Arm, compared: bool, extent: tuple[float, float]) -> str:
        metric = study.metric
        done, planned = len(arm.finished), len(arm.runs) + arm.missing
        seeds = str(done) if done == planned else f"{done} of {planned}"
        end = study.end(arm, metric)
        mark = " <span class='quiet'>(control)</span>" if arm.reference else ""
        cells = [
            f'<th scope="row">{self.chip(arm)}{escape(arm.label)}{mark}</th>',
            number_cell(seeds),
        ]
        if end is None:
            share = max((run.reached / max(run.budget, 1) for run in arm.runs), default=0.0)
            cells += [number_cell(f"{share:.0%} through" if arm.runs else "not begun"), "<td></td>"]
        else:
            value, ends = level_text(end, metric)
            cells.append(number_cell(f'{value} <span class="ends">{ends}</span>'))
            seeds_ = list(arm.final(metric.name).values())
            cells.append(f"<td>{forest(end, seeds_, extent, self.palette[arm.label])}</td>")
        if compared:
            difference = study.difference(arm, metric)
            if arm is study.baseline_arm:
                cells.append(number_cell('<span class="quiet">baseline</span>'))
            elif difference is None:
                cells.append(number_cell("&ndash;"))
            else:
                value, ends = difference_text(difference, metric)
                dagger = "&#8224;" if crosses(arm, study.baseline_arm) else ""
                cells.append(number_cell(f'{value}{dagger} <span class="ends">{ends}</span>'))
        ledger = arm.mean_ledger()
        for name in ("steps", "probe_steps", "evaluation_steps"):
            cells.append(number_cell(count(ledger[name]) if name in ledger else "&ndash;"))
        seconds = [run.seconds for run in arm.finished if run.seconds is not None]
        cells.append(number_cell(duration(float(np.mean(seconds))) if seconds else "&ndash;"))
        word = "baseline" if compared and arm is study.baseline_arm else study.verdict(arm).word
        cells.append(f'<td class="words">{"" if word == "baseline" else escape(word)}</td>')
        return f"<tr>{''.join(cells)}</tr>"

    def curves(self, study: Study) -> str:
        chart = curves_chart(study, self.palette)
        if not chart.states[0].data:
            return section("Learning curves", "<p>No evaluation so far.</p>", "curves")
        seeds = max((len(arm.runs) for arm in study.arms), default=0)
        says = "The student's score on the fixed test set while it trained. "
        if seeds == 2:
            says += (
                "Thick: mean of two seeds; faint: each of them; bars at the end: 95&nbsp;% t "
                "intervals of the last mean, which from two seeds are wide. "
            )
        elif seeds > 2:
            says += (
                "Thick: mean over seeds; band: 95&nbsp;% t interval of the mean at each point; "
                "faint: every seed. "
            )
        if any(arm.reference for arm in study.arms):
            says += "Dashed: controls."
        second = study is self.study.supervised
        name = "curves-supervised" if second else "curves"
        head = "Learning curves, supervised" if second else "Learning curves"
        return section(head, self.figure(name, chart, says), name)

    def where(self, study: Study) -> str:
        view = view_of(study)
        if view is None:
            return ""
        periods = 3 if view.plane else STRIP_PERIODS
        found = [(arm, steps_map(arm.shown, view, study.steps, periods)) for arm in study.arms]
        found = [(arm, m) for arm, m in found if m.steps.sum() > 0]
        if not found:
            return ""
        top = dense_top([m for _, m in found])
        supervised = study.kind == "supervised"
        unit = "examples" if supervised else "steps"
        name = "where" if study is self.study else "where-supervised"
        panels = []
        for i, (arm, m) in enumerate(found):
            chart = (
                steps_chart(arm, m, view, top)
                if view.plane
                else strip_chart(arm, study, m, view, top)
            )
            panels.append(self.figure(f"{name}-{i}", chart, "", self.heading(arm)))
        says = (
            "Which examples each teacher chose, all seeds together."
            if supervised
            else "Each cell counts the environment steps that the student spent in tasks of that "
            "kind, all seeds together. A long episode counts for more than a short one: choosing "
            "tasks evenly is not spending steps evenly."
        )
        says += axis_note(view)
        key = colour_key(
            STEPS_RAMP, "none", f"{number(top, 2)} times an even spread or more", 1 / np.sqrt(top)
        )
        return section(
            f"Where the {unit} went",
            f'<p>{says}</p>{key}<div class="panels">{"".join(panels)}</div>',
            name,
        )

    def mastered(self, study: Study) -> str:
        view = view_of(study)
        if view is None or study.metric.name != "mastered":
            return ""
        found = [(arm, mastery_map(arm, view)) for arm in study.arms]
        known = [(arm, m) for arm, m in found if m is not None]
        if not known:
            return ""
        name = "mastered" if study is self.study else "mastered-supervised"
        runs = max(m.runs for _, m in known)
        episodes = max(m.episodes for _, m in known)
        of = f"{runs} seeds" if runs > 1 else "one seed"
        each = f", {episodes} episodes each" if episodes > 1 else ""
        says = f"The test set after training: the share of episodes mastered ({of}{each})."
        says += axis_note(view)
        if not view.plane:
            chart = mastery_lines_chart(known, view, self.palette)
            return section("What was mastered", self.figure(name, chart, says), name)
        panels = [
            self.figure(f"{name}-{i}", mastery_cells_chart(arm, m, view), "", self.heading(arm))
            for i, (arm, m) in enumerate(known)
        ]
        return section(
            "What was mastered",
            f"<p>{says}</p>{colour_key(MASTERY_RAMP, '0 %', '100 %')}"
            f'<div class="panels small">{"".join(panels)}</div>',
            name,
        )

    def models(self, study: Study) -> str:
        view = view_of(study)
        if view is None:
            return ""
        panels = []
        for i, arm in enumerate(study.arms):
            run = next((run for run in arm.shown if run.snapshots), None)
            if run is None:
                continue
            plain = arm is study.baseline_arm or arm.reference
            if plain and not any(snapshot.values for snapshot in run.snapshots):
                continue  # it has no model, and where its steps went is drawn above
            colour = self.palette[arm.label]
            chart = (
                model_chart(arm, run, view, colour)
                if view.plane
                else preview_chart(arm, run, study, view, colour)
            )
            if chart is None:
                continue
            heading = self.heading(arm, f"seed {run.seed}")
            panels.append(self.figure(f"model-{i}", chart, "", heading))
        if not panels:
            return ""
        told = "Dots: tasks the teacher would have proposed at that time."
        if view.plane:
            told += (
                f" Shapes: its Gaussians at {ELLIPSE_SDS:g} standard deviations, or its windows "
                "and regions, fuller where it is likelier to draw. Move the slider to go through "
                "the training."
            )
        return section(
            "What the teachers had in mind",
            f'<p>{told}</p><div class="panels">{"".join(panels)}</div>',
            "models",
        )

    def beside(self) -> str:
        second = self.study.supervised
        if second is None:
            return ""
        head = (
            '<section id="supervised"><p class="kicker">beside it, a supervised student</p>'
            f"<h2>{escape(many_teachers(second))} on {escape(plain_env(second.env))}</h2>"
            f"<p>{about(second)}</p>{''.join(notices(second))}</section>"
        )
        return "\n".join([head, self.results(second), self.curves(second), self.where(second)])

    def films(self) -> str:
        shown, left, total = [], [], 0
        for film in self.study.films:
            size = film.path.stat().st_size
            if total + size > FILM_BYTES:
                left.append(film)
                continue
            total += size
            shown.append(film_figure(film))
        if not shown and not left:
            return ""
        rest = ""
        if left:
            names = join([f"<code>{escape(film.path.name)}</code>" for film in left])
            rest = f'<p class="quiet small">Too large to show here: {names}.</p>'
        return section("Films", f'<div class="films">{"".join(shown)}</div>{rest}', "films")

    def ledger(self, study: Study) -> str:
        ledgers = [(arm, arm.mean_ledger()) for arm in study.arms if arm.mean_ledger()]
        if not ledgers:
            return ""
        names = [n for n in _COUNTS if any(ledger.get(n) for _, ledger in ledgers)]
        head = "".join(f'<th scope="col"{NUMBER}>{capital(_COUNTS[n])}</th>' for n in names)
        rows = []
        for arm, ledger in ledgers:
            cells = "".join(number_cell(count(ledger.get(n, 0))) for n in names)
            rates = [r.summary["fps"] for r in arm.finished if r.summary.get("fps")]
            rate = count(float(np.mean(rates))) if rates else "&ndash;"
            name = f"{self.chip(arm)}{escape(arm.label)}"
            rows.append(f'<tr><th scope="row">{name}</th>{cells}{number_cell(rate)}</tr>')
        return section(
            "What was spent",
            "<p>The mean of a finished run. Probes are attempts from which nothing was learned, "
            "made because the teacher asked; like evaluations they are counted beside the "
            "budget.</p>"
            '<div class="scroll" tabindex="0" role="region" aria-label="Ledger"><table><thead><tr>'
            f'<th scope="col">Teacher</th>{head}<th scope="col"{NUMBER}>Steps a second</th></tr>'
            f"</thead><tbody>{''.join(rows)}</tbody></table></div>",
            "ledger",
        )

    def configuration(self, study: Study) -> str:
        config = study.example.config
        entries = configuration_entries(study)
        listed = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in entries)
        whole = escape(json.dumps(shortened(config), indent=1, ensure_ascii=False))
        run = "this run" if study.single else f"one run ({escape(study.example.folder.name)})"
        return section(
            "Configuration",
            f"<dl>{listed}</dl><details><summary>The whole configuration of {run}</summary>"
            f'<pre class="long">{whole}</pre></details>',
            "configuration",
        )

    def repeat(self, study: Study) -> str:
        lines = [study.command or repeating_command(study)]
        if study.supervised is not None:
            lines.append(study.supervised.command or repeating_command(study.supervised))
        return section(
            "How to repeat it",
            f"<pre>{escape(chr(10).join(lines))}</pre>"
            '<p class="quiet small">With the same versions, threads and kind of processor the same '
            "numbers come out. <code>currgym report</code> on the folder draws this page "
            "again.</p>",
            "repeat",
        )

    def footer(self) -> str:
        version = (self.study.example.config.get("versions") or {}).get("currgym")
        made = f"Made by currgym{' ' + escape(str(version)) if version else ''}."
        return f"<footer>{made} Everything is in this file; it loads nothing.</footer>"

    # Pieces --------------------------------------------------------------------------------------

    def figure(self, name: str, chart: Chart, caption: str, heading: str = "") -> str:
        """Register a chart and return the element that will hold it."""
        name = f"chart-{name}"
        states = [
            {"name": s.name, "data": s.data, "layout": s.layout | {"height": chart.height}}
            for s in chart.states
        ]
        self.charts[name] = {"start": chart.start, "states": states}
        below = f"<figcaption>{caption}</figcaption>" if caption else ""
        return (
            f"<figure>{heading}{controls(chart)}"
            f'<div class="chart" id="{name}" role="img" aria-label="{escape(chart.says)}" '
            f'style="height:{chart.height}px"></div>{below}</figure>'
        )

    def chip(self, arm: Arm) -> str:
        return f'<span class="chip" style="background:{self.palette[arm.label]}"></span>'

    def heading(self, arm: Arm, more: str = "") -> str:
        extra = f' <span class="quiet small">{escape(more)}</span>' if more else ""
        return f"<h3>{self.chip(arm)}{escape(arm.label)}{extra}</h3>"

"""The report: one self-contained HTML page of a comparison or a run."""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections.abc import Sequence
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
from currgym.report.data import FILM_TYPES, Arm, Film, Study, load
from currgym.report.maps import ELLIPSE_SDS, View, mastery_map, steps_map, view_of
from currgym.report.text import (
    count,
    difference_text,
    duration,
    join,
    level_text,
    number,
    plain_env,
)
from currgym.statistics import fewest_seeds

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
_OPTIONS = {
    "test_set": None,
    "test_tasks": None,
    "test_seeds": 3,
    "evaluate_every": None,
    "threads": 1,
}
"""Options of a run and their defaults, for the command that repeats it."""
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


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
        f"<title>{_e(page.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n"
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
        return f"{_many(study)} on {plain_env(study.env)}"

    # Sections ------------------------------------------------------------------------------------

    def header(self) -> str:
        study = self.study
        parts = [
            '<header>\n<p class="kicker">currgym report</p>',
            f"<h1>{_e(self.title)}</h1>",
            f"<p>{_about(study)}</p>",
            *_notices(study),
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
                f"Differences from {_e(base.label)}{unit} carry 95&nbsp;% intervals ({how}), not "
                "corrected for the number of teachers."
            )
            if any(_crosses(arm, base) for arm in study.arms):
                notes.append(
                    f"&#8224; uses other information than {_e(base.label)}: not a comparison of "
                    "equals."
                )
        below = "" if study.single else f'<p class="quiet small">{" ".join(notes)}</p>'
        return _section(
            head,
            _findings(study) + self.table(study) + below,
            "results" if study is self.study else "results-supervised",
        )

    def table(self, study: Study) -> str:
        metric, base = study.metric, study.baseline_arm
        compared = base is not None and len(study.arms) > 1
        head = ["Teacher", "Seeds", f"{_cap(metric.label.removesuffix(' (%)'))} at the end", ""]
        if compared and base is not None:
            head.append(f"Difference from {_e(base.label)}")
        steps = "Examples" if study.kind == "supervised" else "Steps"
        head += [f"{steps} a run", "Probe steps", "Evaluation steps", "Wall-clock", "Verdict"]
        words = {"Teacher", "", "Verdict"}
        row = "".join(f'<th scope="col"{"" if h in words else NUMBER}>{h}</th>' for h in head)
        low, high = _extent(study)
        body = []
        for privileges, arms in _groups(study.arms):
            if privileges or len(_groups(study.arms)) > 1:
                told = _uses(privileges)
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
        cells = [f'<th scope="row">{self.chip(arm)}{_e(arm.label)}{mark}</th>', _number(seeds)]
        if end is None:
            share = max((run.reached / max(run.budget, 1) for run in arm.runs), default=0.0)
            cells += [_number(f"{share:.0%} through" if arm.runs else "not begun"), "<td></td>"]
        else:
            value, ends = level_text(end, metric)
            cells.append(_number(f'{value} <span class="ends">{ends}</span>'))
            seeds_ = list(arm.final(metric.name).values())
            cells.append(f"<td>{_forest(end, seeds_, extent, self.palette[arm.label])}</td>")
        if compared:
            difference = study.difference(arm, metric)
            if arm is study.baseline_arm:
                cells.append(_number('<span class="quiet">baseline</span>'))
            elif difference is None:
                cells.append(_number("&ndash;"))
            else:
                value, ends = difference_text(difference, metric)
                dagger = "&#8224;" if _crosses(arm, study.baseline_arm) else ""
                cells.append(_number(f'{value}{dagger} <span class="ends">{ends}</span>'))
        ledger = arm.mean_ledger()
        for name in ("steps", "probe_steps", "evaluation_steps"):
            cells.append(_number(count(ledger[name]) if name in ledger else "&ndash;"))
        seconds = [run.seconds for run in arm.finished if run.seconds is not None]
        cells.append(_number(duration(float(np.mean(seconds))) if seconds else "&ndash;"))
        word = "baseline" if compared and arm is study.baseline_arm else study.verdict(arm).word
        cells.append(f'<td class="words">{"" if word == "baseline" else _e(word)}</td>')
        return f"<tr>{''.join(cells)}</tr>"

    def curves(self, study: Study) -> str:
        chart = curves_chart(study, self.palette)
        if not chart.states[0].data:
            return _section("Learning curves", "<p>No evaluation so far.</p>", "curves")
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
        return _section(head, self.figure(name, chart, says), name)

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
        about = (
            "Which examples each teacher chose, all seeds together."
            if supervised
            else "Each cell counts the environment steps that the student spent in tasks of that "
            "kind, all seeds together. A long episode counts for more than a short one: choosing "
            "tasks evenly is not spending steps evenly."
        )
        about += _axis_note(view)
        key = _key(
            STEPS_RAMP, "none", f"{number(top, 2)} times an even spread or more", 1 / np.sqrt(top)
        )
        return _section(
            f"Where the {unit} went",
            f'<p>{about}</p>{key}<div class="panels">{"".join(panels)}</div>',
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
        about = f"The test set after training: the share of episodes mastered ({of}{each})."
        about += _axis_note(view)
        if not view.plane:
            chart = mastery_lines_chart(known, view, self.palette)
            return _section("What was mastered", self.figure(name, chart, about), name)
        panels = [
            self.figure(f"{name}-{i}", mastery_cells_chart(arm, m, view), "", self.heading(arm))
            for i, (arm, m) in enumerate(known)
        ]
        return _section(
            "What was mastered",
            f"<p>{about}</p>{_key(MASTERY_RAMP, '0 %', '100 %')}"
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
        return _section(
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
            f"<h2>{_e(_many(second))} on {_e(plain_env(second.env))}</h2>"
            f"<p>{_about(second)}</p>{''.join(_notices(second))}</section>"
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
            shown.append(_film(film))
        if not shown and not left:
            return ""
        rest = ""
        if left:
            names = join([f"<code>{_e(film.path.name)}</code>" for film in left])
            rest = f'<p class="quiet small">Too large to show here: {names}.</p>'
        return _section("Films", f'<div class="films">{"".join(shown)}</div>{rest}', "films")

    def ledger(self, study: Study) -> str:
        ledgers = [(arm, arm.mean_ledger()) for arm in study.arms if arm.mean_ledger()]
        if not ledgers:
            return ""
        names = [n for n in _COUNTS if any(ledger.get(n) for _, ledger in ledgers)]
        head = "".join(f'<th scope="col"{NUMBER}>{_cap(_COUNTS[n])}</th>' for n in names)
        rows = []
        for arm, ledger in ledgers:
            cells = "".join(_number(count(ledger.get(n, 0))) for n in names)
            rates = [r.summary["fps"] for r in arm.finished if r.summary.get("fps")]
            rate = count(float(np.mean(rates))) if rates else "&ndash;"
            name = f"{self.chip(arm)}{_e(arm.label)}"
            rows.append(f'<tr><th scope="row">{name}</th>{cells}{_number(rate)}</tr>')
        return _section(
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
        entries = _configuration(study)
        listed = "".join(f"<dt>{_e(name)}</dt><dd>{value}</dd>" for name, value in entries)
        whole = _e(json.dumps(_shortened(config), indent=1, ensure_ascii=False))
        run = "this run" if study.single else f"one run ({_e(study.example.folder.name)})"
        return _section(
            "Configuration",
            f"<dl>{listed}</dl><details><summary>The whole configuration of {run}</summary>"
            f'<pre class="long">{whole}</pre></details>',
            "configuration",
        )

    def repeat(self, study: Study) -> str:
        lines = [study.command or _command(study)]
        if study.supervised is not None:
            lines.append(study.supervised.command or _command(study.supervised))
        return _section(
            "How to repeat it",
            f"<pre>{_e(chr(10).join(lines))}</pre>"
            '<p class="quiet small">With the same versions, threads and kind of processor the same '
            "numbers come out. <code>currgym report</code> on the folder draws this page "
            "again.</p>",
            "repeat",
        )

    def footer(self) -> str:
        version = (self.study.example.config.get("versions") or {}).get("currgym")
        made = f"Made by currgym{' ' + _e(str(version)) if version else ''}."
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
            f"<figure>{heading}{_controls(chart)}"
            f'<div class="chart" id="{name}" role="img" aria-label="{_e(chart.says)}" '
            f'style="height:{chart.height}px"></div>{below}</figure>'
        )

    def chip(self, arm: Arm) -> str:
        return f'<span class="chip" style="background:{self.palette[arm.label]}"></span>'

    def heading(self, arm: Arm, more: str = "") -> str:
        extra = f' <span class="quiet small">{_e(more)}</span>' if more else ""
        return f"<h3>{self.chip(arm)}{_e(arm.label)}{extra}</h3>"


NUMBER = ' class="number"'


def _many(study: Study) -> str:
    """Return ``Four teachers``."""
    number_ = len(study.arms)
    many = _WORDS[number_] if number_ < len(_WORDS) else str(number_)
    return f"{many.capitalize()} {'teacher' if number_ == 1 else 'teachers'}"


def _about(study: Study) -> str:
    """Return the paragraph that says what was done."""
    run = study.example
    supervised = study.kind == "supervised"
    unit = "examples" if supervised else "environment steps"
    what = "examples" if supervised else "tasks"
    student = f"<code>{_e(study.student)}</code>"
    if study.single:
        text = (
            f"The teacher <code>{_e(study.arms[0].label)}</code> chose the {what} on which a "
            f"{student} student trained, for {count(study.steps)} {unit}. "
        )
    else:
        seeds = f"{len(study.seeds)} seeds" if len(study.seeds) != 1 else "one seed"
        text = (
            f"Each teacher chose the {what} on which a {student} student trained, for "
            f"{count(study.steps)} {unit} a run, over {seeds}. "
        )
    every = run.config.get("evaluate_every")
    tasks = len(run.test_tasks) if run.test_tasks is not None else None
    if every and tasks:
        test_seeds = np.asarray((run.config.get("test_set") or {}).get("seeds") or [[0]])
        each = test_seeds.shape[1] if test_seeds.ndim == 2 else 1
        episodes = f", {each} episodes each" if each > 1 and not supervised else ""
        whom = "It" if study.single else "Every student"
        text += (
            f"{whom} was tested every {count(every)} {unit} on the same {count(tasks)} "
            f"{what}{episodes}, whatever it had been taught; nothing was learned from the tests. "
        )
    if study.metric.name == "mastered" and not supervised:
        mastery = run.config.get("mastery")
        text += "A test episode counts as mastered when the environment reports success"
        text += (
            f", or, where it reports nothing, when the return exceeds {number(float(mastery))}."
            if mastery is not None
            else "."
        )
    return text.strip()


def _notices(study: Study) -> list[str]:
    """Return what a reader must know before anything else."""
    verdict = study.verdict()
    need = fewest_seeds(study.kind)
    kind = "in supervised learning" if study.kind == "supervised" else "in reinforcement learning"
    seeds = min(len(arm.finished) for arm in study.arms)
    told = []
    if study.single:
        told.append(
            "<strong>One run is an illustration, no verdict.</strong> Another seed may tell "
            f"another story; a verdict {kind} needs at least {need} seeds a teacher."
        )
    elif seeds < need:
        have = "is one finished seed" if seeds == 1 else f"are {seeds or 'no'} finished seeds"
        told.append(
            f"<strong>An illustration, no verdict.</strong> There {have} a teacher, and a "
            f"verdict {kind} needs at least {need}, and a plan written before the runs. What "
            "differs here may be chance."
        )
    else:
        told.append(
            f"<strong>{_e(_cap(verdict.word))}.</strong> The seeds would be enough, but a verdict "
            "also needs a plan that was written before the runs: one endpoint, one baseline, the "
            "smallest difference that matters."
        )
    pending = study.unfinished
    if study.single and pending:
        share = pending[0].reached / max(pending[0].budget, 1)
        told.append(
            f"<strong>Unfinished.</strong> This run has got {share:.0%} through its budget; what "
            "follows is what there is so far."
        )
    elif pending or study.missing:
        parts = []
        if pending:
            parts.append(f"{len(pending)} of {len(study.runs) + study.missing} runs unfinished")
        if study.missing:
            parts.append(f"{study.missing} not begun")
        told.append(
            f"<strong>Unfinished: {_e(join(parts))}.</strong> Their curves end where they are; "
            "tables count finished runs only."
        )
    return [f'<div class="notice"><p>{text}</p></div>' for text in told]


def _findings(study: Study) -> str:
    """Return one sentence an arm, of levels and differences, without a verdict."""
    base, metric = study.baseline_arm, study.metric
    if base is None:
        return ""
    level = study.end(base, metric)
    if level is None:
        return ""
    what = metric.label.removesuffix(" (%)")
    lines = [f"<strong>{_e(base.label)}</strong>: {what} {_pair(level_text(level, metric))}."]
    for arm in study.arms:
        difference, level = study.difference(arm, metric), study.end(arm, metric)
        if difference is None or level is None:
            continue
        points = " points" if metric.name == "mastered" else ""
        gap, ends = difference_text(difference, metric)
        text = f"<strong>{_e(arm.label)}</strong>: {what} {_pair(level_text(level, metric))}"
        text += f", {_pair((gap + points, ends))} from {_e(base.label)}"
        if difference.known and difference.low <= 0.0 <= difference.high:
            text += "; the interval includes no difference"
        lines.append(f"{text}.")
    return f'<ul class="findings">{"".join(f"<li>{line}</li>" for line in lines)}</ul>'


def _pair(texts: tuple[str, str]) -> str:
    """Return a value with its interval, which must not be torn apart at a line's end."""
    return "&nbsp;".join(text.replace(", ", ",&nbsp;") for text in texts if text)


def _groups(arms: Sequence[Arm]) -> list[tuple[tuple[str, ...], list[Arm]]]:
    """Return arms by what they know beyond outcomes, those that know least first."""
    found: dict[tuple[str, ...], list[Arm]] = {}
    for arm in arms:
        found.setdefault(arm.privileges, []).append(arm)
    return sorted(found.items(), key=lambda item: len(item[0]))


def _uses(privileges: Sequence[str]) -> str:
    if not privileges:
        return "Learn from outcomes alone"
    return f"Also use: {_e(join([p.replace('_', ' ') for p in privileges]))}"


def _crosses(arm: Arm, base: Arm | None) -> bool:
    return base is not None and arm.privileges != base.privileges


def _extent(study: Study) -> tuple[float, float]:
    """Return the ends of the axis of the small plots."""
    metric = study.metric
    if np.isfinite(metric.low) and np.isfinite(metric.high):
        return metric.low, metric.high
    values = [v for arm in study.arms for v in arm.final(metric.name).values()]
    ends = [study.end(arm, metric) for arm in study.arms]
    values += [v for e in ends if e is not None and e.known for v in (e.low, e.high)]
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    pad = 0.05 * (high - low) or 1.0
    return low - pad, high + pad


def _forest(end: Any, seeds: Sequence[float], extent: tuple[float, float], colour: str) -> str:
    """Return a small plot of an interval with its seeds."""
    low, high = extent
    width, middle = 150.0, 11.0

    def x(value: float) -> str:
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return f"{5 + share * (width - 10):.1f}"

    rules = "".join(
        f'<line x1="{x(v)}" x2="{x(v)}" y1="2" y2="20" stroke="#e0ddd6"/>'
        for v in (low, 0.5 * (low + high), high)
    )
    dots = "".join(
        f'<circle cx="{x(v)}" cy="{middle}" r="3" fill="{colour}" fill-opacity="0.3"/>'
        for v in seeds
    )
    line = ""
    if end.known:
        line = (
            f'<line x1="{x(end.low)}" x2="{x(end.high)}" y1="{middle}" y2="{middle}" '
            f'stroke="{colour}" stroke-width="2"/>'
        )
    mean = (
        f'<rect x="{float(x(end.estimate)) - 2:.1f}" y="{middle - 5:g}" width="4" height="10" '
        f'fill="{colour}"/>'
    )
    return (
        f'<svg class="forest" viewBox="0 0 {width:g} 22" aria-hidden="true">{rules}{dots}{line}'
        f"{mean}</svg>"
    )


def _axis_note(view: View) -> str:
    """Return what an axis of ranks means."""
    if view.axes[0].column is not None:
        return ""
    return " Difficulty is in percentiles, 0 being the easiest."


def _key(ramp: Sequence[str], low: str, high: str, mark: float | None = None) -> str:
    stops = ", ".join(f"{c} {100 * i / (len(ramp) - 1):.0f}%" for i, c in enumerate(ramp))
    line, told = "", ""
    if mark is not None:
        line = f'<i style="left:{100 * mark:.0f}%"></i>'
        told = "<span>(orange mark: even spread; square-root scale)</span>"
    return (
        f'<p class="key"><span>{low}</span><span class="ramp" style="background:'
        f'linear-gradient(90deg, {stops})">{line}</span><span>{high}</span>{told}</p>'
    )


def _controls(chart: Chart) -> str:
    if len(chart.states) < 2:
        return _legend(chart)
    if chart.control == "slider":
        last, told = len(chart.states) - 1, _e(chart.states[chart.start].name)
        return (
            f'<div class="controls"><input type="range" min="0" max="{last}" step="1" '
            f'value="{chart.start}" aria-label="Time" aria-valuetext="{told}">'
            f"<output>{told}</output></div>"
        )
    buttons = "".join(
        f'<button type="button" data-state="{i}" aria-pressed="{str(i == chart.start).lower()}">'
        f"{_e(s.name)}</button>"
        for i, s in enumerate(chart.states)
    )
    measure = f'<div class="controls" role="group" aria-label="Measure">{buttons}</div>'
    return measure + _legend(chart)


def _legend(chart: Chart) -> str:
    """Return a legend whose entries hide and show their arm."""
    if not chart.legend:
        return ""
    entries = "".join(
        f'<button type="button" data-arm="{_e(label)}" aria-pressed="true">'
        f'<span class="line{" dashed" if dashed else ""}" style="color:{colour}"></span>'
        f"{_e(label)}</button>"
        for label, colour, dashed in chart.legend
    )
    return f'<div class="legend" role="group" aria-label="Teachers shown">{entries}</div>'


def _film(film: Film) -> str:
    data = base64.b64encode(film.path.read_bytes()).decode("ascii")
    kind = FILM_TYPES[film.path.suffix]
    title = _e(_cap(film.title))
    return (
        f'<figure><img src="data:{kind};base64,{data}" alt="Film: {title}">'
        f"<figcaption>{title}</figcaption></figure>"
    )


def _configuration(study: Study) -> list[tuple[str, str]]:
    config = study.example.config
    env = config.get("env") or {}
    student = config.get("student") or {}
    entries = [
        ("Environment", f"<code>{_e(study.env)}</code>{_settings(env.get('kwargs'))}"),
        ("Student", f"<code>{_e(study.student)}</code>{_settings(student.get('parameters'))}"),
    ]
    told: list[str] = []
    for arm in study.arms:
        name = arm.teacher + (f":{arm.preset}" if arm.preset else "")
        alias = "" if arm.label in (name, arm.teacher) else f"{_e(arm.label)}: "
        told.append(f"{alias}<code>{_e(name)}</code>{_settings(arm.parameters)}")
    entries.append(("Teacher" if len(told) == 1 else "Teachers", "<br>".join(told)))
    unit = "examples" if study.kind == "supervised" else "environment steps"
    seeds = ", ".join(str(s) for s in study.seeds)
    entries += [("Budget", f"{count(study.steps)} {unit} a run"), ("Seeds", _e(seeds))]
    if config.get("num_envs"):
        entries.append(("Sub-environments", _e(str(config["num_envs"]))))
    run = study.example
    if run.test_tasks is not None:
        name = (config.get("test_set") or {}).get("name", "")
        every = config.get("evaluate_every")
        often = f", every {count(every)} {unit}" if every else ""
        entries.append(("Test set", f"{_e(str(name))}: {count(len(run.test_tasks))} tasks{often}"))
    if run.space is not None:
        entries.append(("Task space", f"<code>{_e(repr(run.space))}</code>"))
        given = config.get("return_range")
        scaled = (
            f"from [{number(float(given[0]))}, {number(float(given[1]))}] to [0, 1]"
            if given
            else "by running 5&ndash;95&nbsp;% quantiles, as no range was given"
        )
        entries.append(("Returns as teachers see them", f"scaled {scaled}"))
    versions = config.get("versions") or {}
    if versions:
        listed = ", ".join(f"{name} {version}" for name, version in versions.items())
        entries.append(("Versions", _e(listed)))
    machine = [str(config["cpu"])] if config.get("cpu") else []
    if config.get("threads"):
        machine.append(f"{config['threads']} thread{'s' if config['threads'] != 1 else ''}")
    if machine:
        entries.append(("Machine", _e(", ".join(machine))))
    return entries


def _settings(parameters: Any) -> str:
    if not parameters:
        return ""
    listed = ", ".join(f"{k}={json.dumps(v)}" for k, v in parameters.items())
    return f" with <code>{_e(listed)}</code>"


def _shortened(value: Any) -> Any:
    """Return a configuration with its long lists cut, for display."""
    if isinstance(value, dict):
        return {k: _shortened(v) for k, v in value.items()}
    if isinstance(value, list) and len(value) > 12:
        return [*(_shortened(v) for v in value[:3]), f"... {len(value) - 3} more"]
    if isinstance(value, list):
        return [_shortened(v) for v in value]
    return value


def _command(study: Study) -> str:
    """Return the command that does the same again."""
    config = study.example.config
    words = ["currgym", "train" if study.single else "compare", plain_env(study.env)]
    words += ["--teacher"] if study.single else ["--teachers"]
    words += [_arm_word(arm, study.single) for arm in study.arms]
    words += ["--student", study.student, "--steps", str(study.steps)]
    if study.single:
        words += ["--seed", str(study.seeds[0])]
    else:
        words += ["--seeds", str(len(study.seeds))]
        words += ["--first-seed", str(study.seeds[0])] if study.seeds[0] else []
    if config.get("num_envs") and study.kind != "supervised":
        words += ["--num-envs", str(config["num_envs"])]
    asked = config.get("request") or {}
    for name, default in _OPTIONS.items():
        if asked.get(name, default) != default:
            words += [f"--{name.replace('_', '-')}", str(asked[name])]
    for module in asked.get("modules") or ():
        words += ["--import", str(module)]
    changes = {
        "teacher": study.arms[0].parameters if study.single else {},
        "student": (config.get("student") or {}).get("parameters") or {},
        "env": (config.get("env") or {}).get("kwargs") or {},
    }
    for group, parameters in changes.items():
        for name, value in parameters.items():
            words += ["--set", f"{group}.{name}={_word(value)}"]
    words += ["--out", "again"]
    return shlex.join(words)


def _arm_word(arm: Arm, single: bool) -> str:
    name = arm.teacher + (f":{arm.preset}" if arm.preset else "")
    if single:
        return name
    settings = ",".join(f"{k}={_word(v)}" for k, v in arm.parameters.items())
    if arm.label == name and not settings:
        return name
    return f"{arm.label}={name}" + (f":{settings}" if settings else "")


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _section(title: str, body: str, name: str) -> str:
    return f'<section id="{name}"><h2>{_e(title)}</h2>\n{body}\n</section>'


def _number(text: str) -> str:
    return f"<td{NUMBER}>{text}</td>"


def _cap(text: str) -> str:
    return text[:1].upper() + text[1:]


def _e(text: str) -> str:
    return html.escape(text)

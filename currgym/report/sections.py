"""The page's sections after the leading figures."""

from __future__ import annotations

import json

import numpy as np

from currgym.report.charts import curves_chart, mastery_cells_chart, mastery_lines_chart
from currgym.report.colours import MASTERY_RAMP
from currgym.report.data import MOST_FAINT, Arm, Study
from currgym.report.drill import drill_data
from currgym.report.elements import (
    axis_note,
    capital,
    colour_key,
    escape,
    film_figure,
    forest,
    forest_extent,
    number_cell,
    section,
    sort_head,
)  # fmt: skip
from currgym.report.maps import mastery_map, view_of
from currgym.report.optimiser import larger_steps, optimizer_chart
from currgym.report.sheet import Sheet
from currgym.report.text import count, difference_text, duration, join, level_text
from currgym.report.words import (
    by_privileges,
    configuration_entries,
    crosses,
    findings,
    repeating_command,
    shortened,
    uses_text,
)  # fmt: skip

FILM_BYTES = 5_000_000
"""Films are embedded up to this total, so that the page stays below 15 MB."""

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


def results_section(sheet: Sheet, study: Study) -> str:
    """Return how far the students got: findings and the table."""
    metric = study.metric
    base = study.baseline_arm
    who = "supervised students" if study is sheet.study.supervised else "students"
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
        findings(study) + _table(sheet, study) + below,
        "results" if study is sheet.study else "results-supervised",
    )


def _table(sheet: Sheet, study: Study) -> str:
    metric, base = study.metric, study.baseline_arm
    compared = base is not None and len(study.arms) > 1
    end = f"{capital(metric.label.removesuffix(' (%)'))} at the end"
    head = [("Teacher", "text"), ("Seeds", "number"), (end, "number"), ("", "")]
    if compared and base is not None:
        head.append((f"Difference from {escape(base.label)}", "number"))
    steps = "Examples" if study.kind == "supervised" else "Steps"
    spent = (f"{steps} a run", "Probe steps", "Evaluation steps", "Wall-clock")
    head += [*((name, "number") for name in spent), ("Verdict", "text")]
    low, high = forest_extent(study)
    body = []
    for privileges, arms in by_privileges(study.arms):
        if privileges or len(by_privileges(study.arms)) > 1:
            told = uses_text(privileges)
            body.append(
                f'<tr class="group"><th colspan="{len(head)}" scope="colgroup">{told}</th></tr>'
            )
        for arm in arms:
            body.append(_row(sheet, study, arm, compared, (low, high)))
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Results">\n'
        f'<table class="sortable">\n{sort_head(head)}\n<tbody>\n{chr(10).join(body)}\n</tbody>'
        "\n</table></div>"
    )


def _row(sheet: Sheet, study: Study, arm: Arm, compared: bool, extent: tuple[float, float]) -> str:
    metric = study.metric
    done, planned = len(arm.finished), len(arm.runs) + arm.missing
    seeds = str(done) if done == planned else f"{done} of {planned}"
    end = study.end(arm, metric)
    mark = " <span class='quiet'>(control)</span>" if arm.reference else ""
    cells = [
        f'<th scope="row" data-value="{escape(arm.label)}">{sheet.chip(arm)}{escape(arm.label)}'
        f"{mark}</th>",
        number_cell(seeds, done),
    ]
    if end is None:
        share = max((run.reached / max(run.budget, 1) for run in arm.runs), default=0.0)
        told = f"{share:.0%} through" if arm.runs else "not begun"
        cells += [number_cell(told, -np.inf), "<td></td>"]
    else:
        value, ends = level_text(end, metric)
        cells.append(number_cell(f'{value} <span class="ends">{ends}</span>', end.estimate))
        seeds_ = list(arm.final(metric.name).values())
        cells.append(f"<td>{forest(end, seeds_, extent, sheet.palette[arm.label])}</td>")
    if compared:
        difference = study.difference(arm, metric)
        if arm is study.baseline_arm:
            cells.append(number_cell('<span class="quiet">baseline</span>', 0.0))
        elif difference is None:
            cells.append(number_cell("&ndash;", -np.inf))
        else:
            value, ends = difference_text(difference, metric)
            dagger = "&#8224;" if crosses(arm, study.baseline_arm) else ""
            text = f'{value}{dagger} <span class="ends">{ends}</span>'
            cells.append(number_cell(text, difference.estimate))
    ledger = arm.mean_ledger()
    for name in ("steps", "probe_steps", "evaluation_steps"):
        text = count(ledger[name]) if name in ledger else "&ndash;"
        cells.append(number_cell(text, ledger.get(name, 0.0)))
    seconds = [run.seconds for run in arm.finished if run.seconds is not None]
    mean = float(np.mean(seconds)) if seconds else 0.0
    cells.append(number_cell(duration(mean) if seconds else "&ndash;", mean))
    word = "baseline" if compared and arm is study.baseline_arm else study.verdict(arm).text
    cells.append(f'<td class="words">{"" if word == "baseline" else escape(word)}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def curves_section(sheet: Sheet, study: Study) -> str:
    """Return the learning curves."""
    chart = curves_chart(study, sheet.palette)
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
            f"faint: {_seeds_drawn(study)}. "
        )
    if any(arm.reference for arm in study.arms):
        says += "Dashed: controls."
    second = study is sheet.study.supervised
    name = "curves-supervised" if second else "curves"
    head = "Learning curves, supervised" if second else "Learning curves"
    return section(head, sheet.figure(name, chart, says), name)


def _seeds_drawn(study: Study) -> str:
    """Return which seeds are drawn one by one."""
    seeds = max((len(arm.runs) for arm in study.arms), default=0)
    if seeds <= MOST_FAINT:
        return "every seed"
    return f"{MOST_FAINT} of the {count(seeds)} seeds, evenly (mean and band are of all)"


def optimizer_section(sheet: Sheet, study: Study) -> str:
    """Return the optimiser panel; nothing where the student has no optimiser."""
    chart = optimizer_chart(study, sheet.palette)
    if chart is None:
        return ""
    says = (
        "A curriculum changes the gradients, and with Adam a growing gradient takes larger steps "
        "than the learning rate says. Gradient norm: as the optimiser gets it, after clipping. "
        "Update norm: of the change of all weights in one update. Effective step: the root mean "
        "square of that change over the weights, as a multiple of the learning rate."
    )
    if max(len(arm.runs) for arm in study.arms) > 1:
        says += f" Thick: mean over seeds; faint: {_seeds_drawn(study)}."
    larger = larger_steps(study)
    if larger:
        named = join(
            [f"<strong>{escape(n)}</strong> {r:.2f}&nbsp;times" for n, r in larger.items()]
        )
        says += (
            f" Against {escape(str(study.baseline))} at equal {_time(study)} (median): {named}. "
            "Compare these arms at a learning rate tuned for each before believing a gain."
        )
    name = sheet.name("optimizer", study)
    return section("What the optimiser did", f"<p>{says}</p>" + sheet.figure(name, chart), name)


def _time(study: Study) -> str:
    return "examples" if study.kind == "supervised" else "steps"


def drill_section(sheet: Sheet, study: Study) -> str:
    """Return one test task at a time; nothing where there is no test task."""
    data = drill_data(study, view_of(study), sheet.palette)
    if data is None:
        return ""
    name = sheet.name("tasks", study)
    sheet.charts[f"chart-{name}"] = data
    options = "".join(
        f'<option value="{i}"{" selected" if i == data["start"] else ""}>{escape(task)}</option>'
        for i, task in enumerate(data["names"])
    )
    says = "Above: the task's result in every evaluation, mean over seeds, faint: "
    says += f"{_seeds_drawn(study)}. "
    if any(arm["near"] for arm in data["arms"]):
        says += "Below: training attempts nearest to it in each 24th of the budget, all seeds."
    if data["left_out"]:
        says += f" {data['left_out']} tasks of the test set are left out, evenly."
    what = "test example" if study.kind == "supervised" else "test task"
    figure = (
        f'<figure><div class="controls"><label for="pick-{name}">{capital(what)}</label> '
        f'<select id="pick-{name}" data-drill="chart-{name}">{options}</select>'
        f'<button type="button" data-drill="chart-{name}" data-move="-1">previous</button>'
        f'<button type="button" data-drill="chart-{name}" data-move="1">next</button></div>'
        f"{_arm_key(sheet, study)}{sheet.box(f'chart-{name}', 400, 'Results on one test task.')}"
        f"<figcaption>{says}</figcaption></figure>"
    )
    return section("One task at a time", figure, name)


def _arm_key(sheet: Sheet, study: Study) -> str:
    if len(study.arms) < 2:
        return ""
    entries = "".join(
        f'<span><span class="line{" dashed" if arm.reference else ""}" '
        f'style="color:{sheet.palette[arm.label]}"></span>{escape(arm.label)}</span>'
        for arm in study.arms
    )
    return f'<p class="key">{entries}</p>'


def mastered_section(sheet: Sheet, study: Study) -> str:
    """Return what was mastered at the end, over the test set."""
    view = view_of(study)
    if view is None or study.metric.name != "mastered":
        return ""
    found = [(arm, mastery_map(arm, view)) for arm in study.arms]
    known = [(arm, m) for arm, m in found if m is not None]
    if not known:
        return ""
    name = "mastered" if study is sheet.study else "mastered-supervised"
    runs = max(m.runs for _, m in known)
    episodes = max(m.episodes for _, m in known)
    of = f"{runs} seeds" if runs > 1 else "one seed"
    each = f", {episodes} episodes each" if episodes > 1 else ""
    says = f"The test set after training: the share of episodes mastered ({of}{each})."
    says += axis_note(view)
    if not view.plane:
        chart = mastery_lines_chart(known, view, sheet.palette)
        return section("What was mastered", sheet.figure(name, chart, says), name)
    panels = [
        sheet.figure(f"{name}-{i}", mastery_cells_chart(arm, m, view), "", sheet.heading(arm))
        for i, (arm, m) in enumerate(known)
    ]
    return section(
        "What was mastered",
        f"<p>{says}</p>{colour_key(MASTERY_RAMP, '0 %', '100 %')}"
        f'<div class="panels small">{"".join(panels)}</div>',
        name,
    )


def films_section(sheet: Sheet, study: Study) -> str:
    """Return the films, or how to make them."""
    shown, left, total = [], [], 0
    for film in sheet.study.films:
        size = film.path.stat().st_size
        if total + size > FILM_BYTES:
            left.append(film)
            continue
        total += size
        shown.append(film_figure(film))
    if not shown and not left:
        if study.kind != "rl":
            return ""
        return section(
            "Films",
            "<p>None yet: <code>currgym film</code> on this folder shows the student at several "
            "times of its training, and then <code>currgym report</code> puts the films here.</p>",
            "films",
        )
    rest = ""
    if left:
        names = join([f"<code>{escape(film.path.name)}</code>" for film in left])
        rest = f'<p class="quiet small">Too large to show here: {names}.</p>'
    return section("Films", f'<div class="films">{"".join(shown)}</div>{rest}', "films")


def ledger_section(sheet: Sheet, study: Study) -> str:
    """Return what was spent."""
    ledgers = [(arm, arm.mean_ledger()) for arm in study.arms if arm.mean_ledger()]
    if not ledgers:
        return ""
    names = [n for n in _COUNTS if any(ledger.get(n) for _, ledger in ledgers)]
    head = [("Teacher", "text"), *((capital(_COUNTS[n]), "number") for n in names)]
    head.append(("Steps a second", "number"))
    rows = []
    for arm, ledger in ledgers:
        cells = "".join(number_cell(count(ledger.get(n, 0)), ledger.get(n, 0)) for n in names)
        rates = [r.summary["fps"] for r in arm.finished if r.summary.get("fps")]
        rate = count(float(np.mean(rates))) if rates else "&ndash;"
        name = f"{sheet.chip(arm)}{escape(arm.label)}"
        last = number_cell(rate, float(np.mean(rates)) if rates else 0.0)
        rows.append(f'<tr><th scope="row">{name}</th>{cells}{last}</tr>')
    return section(
        "What was spent",
        "<p>The mean of a finished run. Probes are attempts from which nothing was learned, "
        "made because the teacher asked; like evaluations they are counted beside the "
        "budget.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Ledger">'
        f'<table class="sortable">{sort_head(head)}<tbody>{"".join(rows)}</tbody></table></div>',
        "ledger",
    )


def configuration_section(sheet: Sheet, study: Study) -> str:
    """Return the configuration."""
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


def repeat_section(sheet: Sheet, study: Study) -> str:
    """Return the commands that do it again."""
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

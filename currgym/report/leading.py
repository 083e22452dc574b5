"""The page's three leading figures: the gain, the frontier, the signal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from currgym.report.charts import dense_top
from currgym.report.colours import MASTERY_RAMP, PART_COLOURS, STATE_COLOURS, STEPS_RAMP
from currgym.report.data import Study
from currgym.report.elements import colour_key, escape, section, sort_head
from currgym.report.frontier import HORIZON, MASTERED_FROM, STATES, Frontier, frontiers
from currgym.report.gains import (
    PARTS,
    Gain,
    gain_axis,
    gain_svg,
    gains,
    has_parts,
    measure_of,
    scale_of,
)  # fmt: skip
from currgym.report.maps import View, plane_of, steps_map, strips_of
from currgym.report.sheet import Sheet
from currgym.report.signal import (
    correlation_chart,
    read_signal,
    scatter_chart,
    transfer_chart,
)  # fmt: skip
from currgym.report.strips import (
    PERIODS,
    plane_chart,
    slider,
    strip_chart,
)  # fmt: skip
from currgym.report.text import count, difference_text, duration, number, steps_text
from currgym.report.words import uses_text
from currgym.statistics import Interval

__all__ = ["frontier_section", "gain_section", "signal_section"]


def gain_section(sheet: Sheet, study: Study) -> str:
    """Return *Where does the gain come from?*, one row a teacher; nothing for a single run."""
    found = gains(study)
    if not found:
        return ""
    metric, concluded = measure_of(study), study.conclusions()
    margin = concluded.smallest_effect
    margin = None if margin is None else margin * metric.factor
    scale = scale_of(found, margin, metric)
    base = escape(str(study.baseline))
    unit = "percentage points" if metric.name == "mastered" else "units of return"
    split = has_parts(found)
    says = (
        f"Each teacher's difference from {base} in {metric.label.removesuffix(' (%)')}, in {unit}. "
        f"Thick: the whole difference with its {100 * _level(found):.3g}&nbsp;% interval; faint "
        "dots: every seed. "
    )
    if split:
        chips = ", ".join(
            f'<span class="chip" style="background:{PART_COLOURS[i]}"></span>{PARTS[p]}: {told}'
            for i, (p, told) in enumerate(_PART_WORDS.items())
        )
        says += f"Below it what it is made of: {chips}. The three add up to the whole. "
    elif any(arm.parameters.get("of") for arm in study.arms):
        says += "The replays that would split it are not finished. "
    else:
        says += (
            "The difference is shown whole: replays of a teacher's tasks for another seed's student"
            " would split it into better tasks, their order and adaptivity; add them with "
            "<code>--controls</code> (two seeds or more). "
        )
    says += (
        "The band is the smallest effect of interest."
        if margin is not None
        else "No smallest effect of interest was planned, so no band is drawn."
    )
    if any(gain.conclusion.crosses for gain in found):
        says += f" &#8224; goes by other information than {base}: not a comparison of equals."
    if any(g.total is not None and not g.total.known for g in found):
        says += " No brackets: with so few seeds no interval is known to hold what it says."
    body = f"<p>{says}</p>"
    if scale is None:
        body += '<p class="quiet">No run is finished yet.</p>'
    else:
        heads = [
            ("Teacher", "text"), (f"Difference from {base}{gain_axis(scale, margin)}", "number"),
            ("In numbers", ""), ("Verdict", "text"), ("Seeds", "number"),
            (_unit(study).capitalize(), "number"), ("Probe steps", "number"),
            ("Wall-clock", "number"),
        ]  # fmt: skip
        rows = "".join(
            _gain_row(
                sheet, gain, gain_svg(gain, scale, margin, metric, sheet.palette[gain.arm.label])
            )
            for gain in found
        )
        body += (
            '<div class="scroll" tabindex="0" role="region" aria-label="Where the gain comes from">'
            f'<table class="gains sortable">{sort_head(heads)}<tbody>{rows}</tbody></table></div>'
        )
    return section("Where does the gain come from?", body, sheet.name("gain", study))


_PART_WORDS = {
    "marginal": "its tasks in random order, against the baseline's",
    "order": "in their order, against random order",
    "adaptivity": "for its own student, against another seed's",
}


def _level(found: Sequence[Gain]) -> float:
    return next((g.total.level for g in found if g.total is not None), 0.95)


def _unit(study: Study) -> str:
    return {"supervised": "examples", "simulated": "attempts"}.get(study.kind, "steps")


def _gain_row(sheet: Sheet, gain: Gain, drawn: str) -> str:
    arm, one = gain.arm, gain.conclusion
    metric = measure_of(
        sheet.study if arm in sheet.study.arms else sheet.study.supervised or sheet.study
    )
    ledger = arm.mean_ledger()
    seconds = [run.seconds for run in arm.finished if run.seconds is not None]
    dagger = "&#8224;" if one.crosses else ""
    control = ' <span class="quiet">(control)</span>' if arm.reference else ""
    uses = uses_text(arm.privileges, short=True)
    origins = "".join(f'<span class="uses">{escape(origin)}</span>' for origin in arm.origins)
    lines = []
    if gain.total is not None:
        lines.append(_in_numbers("whole", gain.total, metric, None))
    lines += [
        _in_numbers(PARTS[name], part, metric, PART_COLOURS[i])
        for i, (name, part) in enumerate(gain.parts.items())
    ]
    order = gain.total.estimate if gain.total is not None else -math.inf
    done, planned = len(arm.finished), len(arm.runs) + arm.missing
    facts = [
        ("Seeds", str(done) if done == planned else f"{done} of {planned}", str(done)),
        (_unit(sheet.study).capitalize(), _count(ledger, "steps"), str(ledger.get("steps", 0))),
        ("Probe steps", _count(ledger, "probe_steps"), str(ledger.get("probe_steps", 0))),
        (
            "Wall-clock", duration(float(np.mean(seconds))) if seconds else "&ndash;",
            str(float(np.mean(seconds)) if seconds else 0.0),
        ),
    ]  # fmt: skip
    cells = "".join(
        f'<td class="fact" data-label="{label}" data-value="{value or text}">{text}</td>'
        for label, text, value in facts
    )
    return (
        f'<tr><th scope="row" data-value="{escape(arm.label)}">{sheet.chip(arm)}{escape(arm.label)}'
        f'{dagger}{control}<span class="uses">by {uses}</span>{origins}</th>'
        f'<td class="drawn" data-value="{order}">{drawn}</td>'
        f'<td class="parts">{"".join(lines)}</td>'
        f'<td class="words" data-value="{escape(one.verdict.text)}">{escape(one.verdict.text)}</td>'
        f"{cells}</tr>"
    )


def _in_numbers(name: str, interval: Interval, metric: object, colour: str | None) -> str:
    value, ends = difference_text(interval, metric)  # type: ignore[arg-type]
    chip = "" if colour is None else f'<span class="chip" style="background:{colour}"></span>'
    return (
        f'<span class="part">{chip}{escape(name)} <strong>{value}</strong> '
        f'<span class="ends">{ends}</span></span>'
    )


def _count(ledger: dict[str, float], name: str) -> str:
    return steps_text(ledger[name]) if name in ledger else "&ndash;"


# The frontier. -----------------------------------------------------------------------------------


def frontier_section(sheet: Sheet, study: Study) -> str:
    """Return *The frontier*: strips over time, the states of steps, and the plane at each time."""
    views = strips_of(study)
    if not views:
        return ""
    maps = {arm.label: steps_map(arm.shown, views[0], PERIODS) for arm in study.arms}
    shown = [arm for arm in study.arms if maps[arm.label].steps.sum() > 0]
    if not shown:
        return ""
    top = dense_top([maps[arm.label] for arm in shown])
    known = frontiers(study)
    plane = plane_of(study) or views[0]
    plane_top = dense_top([steps_map(arm.shown, plane, PERIODS) for arm in shown])
    prefix = sheet.name("frontier", study)
    strips: list[str] = []
    planes: list[str] = []
    replays: list[str] = []
    for i, arm in enumerate(study.arms):
        if arm not in shown:
            continue
        frontier = known.get(arm.label)
        colour = sheet.palette[arm.label]
        share = "" if frontier is None else f"frontier share {_percent(frontier.frontier)}"
        heading = sheet.heading(arm, share)
        chart = strip_chart(arm, study, views, top, frontier, colour)
        strip = sheet.figure(f"{prefix}-{i}", chart, "", heading)
        (replays if arm.parameters.get("of") else strips).append(strip)
        drawn = plane_chart(arm, study, plane, plane_top, colour)
        if drawn is not None:
            panel = sheet.figure(f"{prefix}-plane-{i}", drawn, "", sheet.heading(arm))
            (replays if arm.parameters.get("of") else planes).append(panel)
    unit = "examples" if study.kind == "supervised" else "steps"
    says = (
        f"Upper strip: where the {unit} went, darker where more than an even spread would give; "
        "black lines: median and 10 to 90&nbsp;% of the tasks the teacher would propose at that "
        "time; bars with a dot: its likeliest Gaussians or boxes (16 to 84&nbsp;%)."
    )
    if not study.single:
        says += " The steps are of all seeds, the teacher drawn is that of the first."
    if study.metric.name == "mastered" and study.kind != "supervised":
        says += " Below it: what the students mastered on the fixed test set then."
    if views[0].axes[0].scale is not None:
        says += " Difficulty is in percentiles, 0 being the easiest."
    body = [f"<p>{says}</p>"]
    if known:
        body.append(_states_text(known, study))
        body.append(_states_table(sheet, study, known))
    body.append('<div class="keys">')
    body.append(
        colour_key(STEPS_RAMP, "no steps", f"{number(top, 2)} times even", 1 / np.sqrt(top))
    )
    if study.metric.name == "mastered" and study.kind != "supervised":
        body.append(colour_key(MASTERY_RAMP, "mastered 0 %", "100 %"))
    body.append("</div>")
    body.append(_axis_buttons(views, prefix))
    body.append(f'<div class="panels wide">{"".join(strips)}</div>')
    if planes:
        body.append(
            '<h3>At one time</h3><p><span class="screen">Move the slider to go through the '
            "training. </span>The frame on the strips marks the time. Outlines: the teacher's "
            "Gaussians at two standard deviations, or its windows and regions; dots: tasks it "
            "would propose; diamonds: tasks it keeps, larger the likelier or the worthier; "
            "crosses: tasks it remembers as solved. Over a line: boxes and needles, as high as "
            "they are likely or worth keeping, and ticks for what it would propose.</p>"
        )
        body.append(slider(study, prefix))
        body.append(f'<div class="panels">{"".join(planes)}</div>')
    if replays:
        body.append(
            "<details><summary>The replays that split the gain</summary>"
            f'<div class="panels wide">{"".join(replays)}</div></details>'
        )
    return section("The frontier: where the steps went", "\n".join(body), prefix)


def _percent(interval: Interval) -> str:
    text = f"{100 * interval.estimate:.0f}&nbsp;%"
    if interval.known:
        text += f" [{100 * interval.low:.0f},&nbsp;{100 * interval.high:.0f}]"
    return text


def _states_text(known: dict[str, Frontier], study: Study) -> str:
    runs = sum(len(f.by_run) for f in known.values())
    return (
        '<details class="said"><summary>What learnable means here</summary><p>Every training '
        "attempt belongs to the test task nearest to it. A run masters a test task when at least "
        f"{100 * MASTERED_FROM:.0f}&nbsp;% of its episodes in an evaluation succeed. A step went "
        f"to a task that was <em>{STATES[0]}</em> if the run's latest evaluation says so; "
        f"<em>{STATES[1]}</em> if not, but some student of this study that had mastered no more of "
        f"the test set came to master it within the next {100 * HORIZON:.0f}&nbsp;% of the budget; "
        f"<em>{STATES[2]}</em> if some run masters it at some time; <em>{STATES[3]}</em> if none "
        f"of the {count(runs)} runs ever does. The frontier share is the share of all steps on "
        "learnable tasks, the mean over runs with its 95&nbsp;% t interval. With few runs fewer "
        "tasks are seen to be learned, so that the share is a lower bound.</p></details>"
    )


def _states_table(sheet: Sheet, study: Study, known: dict[str, Frontier]) -> str:
    heads = [("Teacher", "text"), ("Frontier share", "number"), ("", "")]
    heads += [(name.capitalize(), "number") for name in STATES]
    rows = []
    for arm in study.arms:
        frontier = known.get(arm.label)
        if frontier is None:
            continue
        bar = "".join(
            f'<i style="width:{100 * share:.2f}%;background:{STATE_COLOURS[i]}"></i>'
            for i, share in enumerate(frontier.total.tolist())
        )
        shares = "".join(
            f'<td class="number" data-value="{share}">{100 * share:.0f} %</td>'
            for share in frontier.total.tolist()
        )
        value = frontier.frontier.estimate
        rows.append(
            f'<tr><th scope="row" data-value="{escape(arm.label)}">{sheet.chip(arm)}'
            f"{escape(arm.label)}</th>"
            f'<td class="number" data-value="{value}">{_percent(frontier.frontier)}</td>'
            f'<td><span class="stack" aria-hidden="true">{bar}</span></td>{shares}</tr>'
        )
    key = " ".join(
        f'<span><span class="chip" style="background:{STATE_COLOURS[i]}"></span>{name}</span>'
        for i, name in enumerate(STATES)
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Frontier share">'
        f'<table class="sortable">{sort_head(heads)}<tbody>{"".join(rows)}</tbody></table></div>'
        f'<p class="key">Steps by the state of their task: {key}</p>'
    )


def _axis_buttons(views: Sequence[View], prefix: str) -> str:
    if len(views) < 2:
        return ""
    buttons = "".join(
        f'<button type="button" data-strips="{prefix}" data-state="{i}" '
        f'aria-pressed="{str(i == 0).lower()}">{escape(view.axes[0].short)}</button>'
        for i, view in enumerate(views)
    )
    return f'<div class="controls" role="group" aria-label="Axis of the strips">{buttons}</div>'


# The signal. -------------------------------------------------------------------------------------


def signal_section(sheet: Sheet, study: Study) -> str:
    """Return *Does the signal know?*, or how to find out; nothing for supervised studies."""
    if study.kind == "supervised":
        return ""
    signal = read_signal(study.folder)
    title = "Does the signal know?"
    if signal is None or not signal.forks:
        return section(
            title,
            "<p>Not measured here: <code>currgym doctor ENV --headroom</code> forks a run on every "
            "task, trains a little, and writes <code>signal.json</code>; put into this folder it "
            "shows how well each teacher's score foretells the gain.</p>",
            "signal",
        )
    forks = len(signal.forks)
    seeds = len({fork.seed for fork in signal.forks})
    says = (
        f"At {len(signal.steps)} checkpoints of {'one run' if seeds == 1 else f'{seeds} runs'} "
        f"({forks} in all) training was forked on each of {len(signal.tasks)} tasks: the gain is "
        "what a little training on that task alone did for the whole test set. Left: what a signal "
        "said of each task against that gain, with its standard error. Right: their rank "
        "correlation over training; dashed, the most that a perfect signal could reach, as the "
        "gain is measured with noise."
    )
    if (signal.env, signal.student) not in (("", ""), (study.env, study.student)):
        says = (
            f"<strong>Measured elsewhere: on {escape(signal.env)} with {escape(signal.student)}."
            f"</strong> {says}"
        )
    panels = [
        sheet.figure("signal-scatter", scatter_chart(signal)),
        sheet.figure("signal-correlation", correlation_chart(signal)),
    ]
    body = f'<p>{says}</p><div class="panels">{"".join(panels)}</div>'
    transfer = transfer_chart(signal)
    if transfer is not None:
        named = escape(", ".join(name.replace("_", " ") for name in signal.names))
        body += (
            "<h3>What training on one task does for another</h3><p>A row is the task that was "
            "trained a little, a column the task on which the gain was measured (the middles of "
            f"the cells: {named}), as a share of the return range. Blue: better than before, "
            "orange: forgotten. A blue diagonal alone says that nothing carries over; a blue row, "
            "that its task helps everywhere.</p>"
            + sheet.figure("signal-transfer", transfer)
        )  # fmt: skip
    return section(title, body, "signal")

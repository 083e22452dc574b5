"""What the page says in words: what was done, what may be concluded, how to repeat it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from currgym.report.data import Arm, Study
from currgym.report.elements import capital, escape
from currgym.report.text import count, difference_text, join, level_text, number, plain_env
from currgym.statistics import fewest_seeds
from currgym.studies.endpoints import ENDPOINTS

__all__ = [
    "about", "by_privileges", "configuration_entries", "crosses", "findings", "many_teachers",
    "notices", "repeating_command", "shortened", "uses_text",
]  # fmt: skip

_OPTIONS = {
    "test_set": None,
    "test_tasks": None,
    "test_seeds": 3,
    "evaluate_every": None,
    "threads": 1,
}
"""Options of a run and their defaults, for the command that repeats it."""
CROSSES = "&#8224;"
"""Marks what is compared with an arm that knows other things."""
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def many_teachers(study: Study) -> str:
    """Return ``Four teachers``."""
    number_ = len(study.arms)
    many = _WORDS[number_] if number_ < len(_WORDS) else str(number_)
    return f"{many.capitalize()} {'teacher' if number_ == 1 else 'teachers'}"


def about(study: Study) -> str:
    """Return the paragraph that says what was done."""
    run = study.example
    supervised = study.kind == "supervised"
    unit = "examples" if supervised else "environment steps"
    what = "examples" if supervised else "tasks"
    student = f"<code>{escape(study.student)}</code>"
    if study.single:
        text = (
            f"The teacher <code>{escape(study.arms[0].label)}</code> chose the {what} on which a "
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


def notices(study: Study) -> list[str]:
    """Return what a reader must know before anything else."""
    verdict = study.verdict()
    need = fewest_seeds(study.kind)
    kind = {
        "supervised": "in supervised learning",
        "rl": "in reinforcement learning",
        "simulated": "with simulated students",
    }[study.kind]
    seeds = min(len(arm.finished) for arm in study.arms)
    told = []
    if study.single:
        told.append(
            "<strong>One run is an illustration, no verdict.</strong> Another seed may tell "
            f"another story; a verdict {kind} needs at least {need} seeds a teacher."
        )
    elif verdict.final:
        told.append(_planned(study))
    elif verdict.word.startswith("illustration"):
        have = "is one finished seed" if seeds == 1 else f"are {seeds or 'no'} finished seeds"
        told.append(
            f"<strong>An illustration, no verdict.</strong> There {have} a teacher, and a "
            f"verdict {kind} needs at least {need}, and a plan written before the runs. What "
            "differs here may be chance."
        )
    elif verdict.word.startswith("exploratory") and not study.frozen:
        told.append(
            f"<strong>{escape(capital(verdict.word))}.</strong> The seeds would be enough, but "
            "a verdict also needs a plan that was written before the runs: one endpoint, one "
            "baseline, the smallest difference that matters."
        )
    else:
        told.append(
            f"<strong>{escape(capital(verdict.word))}.</strong> {escape(capital(verdict.reason))}."
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
            f"<strong>Unfinished: {escape(join(parts))}.</strong> Their curves end where they are; "
            "tables count finished runs only."
        )
    elsewhere = {arm.label: arm.origins for arm in study.arms if arm.origins}
    if elsewhere:
        named = "; ".join(f"{escape(a)}: {escape(', '.join(o))}" for a, o in elsewhere.items())
        told.append(f"<strong>Not measured here.</strong> {named}.")
    return [f'<div class="notice"><p>{text}</p></div>' for text in told]


def _planned(study: Study) -> str:
    """Return the verdicts of a plan that was frozen before its runs."""
    found, plan = study.conclusions(), study.plan
    assert plan is not None
    words = [
        f"{escape(arm.arm)}: <strong>{escape(arm.verdict.text)}</strong> "
        f"({escape(arm.verdict.reason)}){CROSSES if arm.crosses else ''}"
        for arm in found.arms
        if arm.verdict.final
    ]
    endpoint = ENDPOINTS[plan.endpoint]
    effect = f"{plan.smallest_effect:g}"
    if endpoint.percent:
        effect = f"{100.0 * plan.smallest_effect:g} percentage points"
    tried = f"{escape(found.tried)} " if found.tried else ""
    text = (
        f"<strong>Planned before the runs.</strong> {tried}"
        f"Endpoint: {escape(endpoint.says)}; baseline: {escape(plan.baseline)}; "
        f"smallest difference of interest: {effect}; {len(found.seeds)} seeds a teacher. "
        + ". ".join(words)
    )
    best = found.best
    if best is not None:
        alone = "the best" if best.p < plan.alpha else "not shown to be the best"
        text += (
            f". {capital(escape(best.best))}, first by its mean, is {alone} (against "
            f"{escape(best.runner_up)}, corrected for the selection: p = {best.p:.2g})"
        )
    return f"{text}."


def findings(study: Study) -> str:
    """Return one sentence an arm, of levels and differences, without a verdict."""
    base, metric = study.baseline_arm, study.metric
    if base is None:
        return ""
    level = study.end(base, metric)
    if level is None:
        return ""
    what = metric.label.removesuffix(" (%)")
    lines = [f"<strong>{escape(base.label)}</strong>: {what} {_pair(level_text(level, metric))}."]
    for arm in study.arms:
        difference, level = study.difference(arm, metric), study.end(arm, metric)
        if difference is None or level is None:
            continue
        points = " points" if metric.name == "mastered" else ""
        gap, ends = difference_text(difference, metric)
        text = f"<strong>{escape(arm.label)}</strong>: {what} {_pair(level_text(level, metric))}"
        text += f", {_pair((gap + points, ends))} from {escape(base.label)}"
        if difference.known and difference.low <= 0.0 <= difference.high:
            text += "; the interval includes no difference"
        lines.append(f"{text}.")
    return f'<ul class="findings">{"".join(f"<li>{line}</li>" for line in lines)}</ul>'


def _pair(texts: tuple[str, str]) -> str:
    """Return a value with its interval, which must not be torn apart at a line's end."""
    return "&nbsp;".join(text.replace(", ", ",&nbsp;") for text in texts if text)


def configuration_entries(study: Study) -> list[tuple[str, str]]:
    """Return what was configured, as (name, HTML) entries."""
    config = study.example.config
    env = config.get("env") or {}
    student = config.get("student") or {}
    entries = [
        ("Environment", f"<code>{escape(study.env)}</code>{_settings(env.get('kwargs'))}"),
        ("Student", f"<code>{escape(study.student)}</code>{_settings(student.get('parameters'))}"),
    ]
    told: list[str] = []
    for arm in study.arms:
        name = arm.teacher + (f":{arm.preset}" if arm.preset else "")
        alias = "" if arm.label in (name, arm.teacher) else f"{escape(arm.label)}: "
        told.append(f"{alias}<code>{escape(name)}</code>{_settings(arm.parameters)}")
    entries.append(("Teacher" if len(told) == 1 else "Teachers", "<br>".join(told)))
    unit = "examples" if study.kind == "supervised" else "environment steps"
    seeds = ", ".join(str(s) for s in study.seeds)
    entries += [("Budget", f"{count(study.steps)} {unit} a run"), ("Seeds", escape(seeds))]
    if config.get("num_envs"):
        entries.append(("Sub-environments", escape(str(config["num_envs"]))))
    run = study.example
    if run.test_tasks is not None:
        name = (config.get("test_set") or {}).get("name", "")
        every = config.get("evaluate_every")
        often = f", every {count(every)} {unit}" if every else ""
        entries.append(
            ("Test set", f"{escape(str(name))}: {count(len(run.test_tasks))} tasks{often}")
        )
    if run.space is not None:
        entries.append(("Task space", f"<code>{escape(repr(run.space))}</code>"))
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
        entries.append(("Versions", escape(listed)))
    machine = [str(config["cpu"])] if config.get("cpu") else []
    if config.get("threads"):
        machine.append(f"{config['threads']} thread{'s' if config['threads'] != 1 else ''}")
    if machine:
        entries.append(("Machine", escape(", ".join(machine))))
    return entries


def _settings(parameters: Any) -> str:
    if not parameters:
        return ""
    listed = ", ".join(f"{k}={json.dumps(v)}" for k, v in parameters.items())
    return f" with <code>{escape(listed)}</code>"


def shortened(value: Any) -> Any:
    """Return a configuration with its long lists cut, for display."""
    if isinstance(value, dict):
        return {k: shortened(v) for k, v in value.items()}
    if isinstance(value, list) and len(value) > 12:
        return [*(shortened(v) for v in value[:3]), f"... {len(value) - 3} more"]
    if isinstance(value, list):
        return [shortened(v) for v in value]
    return value


def repeating_command(study: Study) -> str:
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


def by_privileges(arms: Sequence[Arm]) -> list[tuple[tuple[str, ...], list[Arm]]]:
    """Return arms by what they know beyond outcomes, those that know least first."""
    found: dict[tuple[str, ...], list[Arm]] = {}
    for arm in arms:
        found.setdefault(arm.privileges, []).append(arm)
    return sorted(found.items(), key=lambda item: len(item[0]))


def uses_text(privileges: Sequence[str], short: bool = False) -> str:
    """Return what teachers with these privileges go by."""
    if short:
        return escape(", ".join(["outcomes", *(p.replace("_", " ") for p in privileges)]))
    if not privileges:
        return "Learn from outcomes alone"
    return f"Also use: {escape(join([p.replace('_', ' ') for p in privileges]))}"


def crosses(arm: Arm, base: Arm | None) -> bool:
    """Tell whether an arm goes by other information than the baseline."""
    return base is not None and arm.privileges != base.privileges

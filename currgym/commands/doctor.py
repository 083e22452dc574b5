"""``currgym doctor``: is the plumbing sound, and would a curriculum help here?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from currgym.doctor import Diagnosis
    from currgym.doctor.headroom import Headroom
    from currgym.runs.config import RunConfig

__all__ = ["doctor"]

SICK = 1


@click.command()
@click.argument("env")
@click.option(
    "--headroom",
    is_flag=True,
    help="Measure what a curriculum could gain here, and which signal knows it.",
)
@click.option(
    "--wrap",
    metavar="MODULE:NAME",
    default=None,
    help="A function env -> env with tasks (currgym.ParameterizedEnv).",
)
@click.option(
    "--loop",
    metavar="MODULE:NAME",
    default=None,
    help="Also examine what your loop trains on: a function that returns it, or it and "
    "what it is evaluated on.",
)
@click.option(
    "--policy",
    metavar="MODULE:NAME",
    default=None,
    help="A function observation -> action that comes to interesting places.",
)
@click.option(
    "--compare",
    type=click.IntRange(1),
    default=120,
    show_default=True,
    metavar="N",
    help="Steps of an episode that are compared.",
)
@click.option(
    "--teacher",
    default="alp-gmm",
    show_default=True,
    metavar="NAME",
    help="Must move on planted outcomes.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="Also write the findings there.",
)
@click.option(
    "--import",
    "modules",
    multiple=True,
    metavar="MODULE",
    help="A module to import first (it registers environments or teachers).",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PART.NAME=VALUE",
    help="env.NAME=VALUE, and with --headroom student.NAME=VALUE.",
)
@click.option(
    "--student",
    default=None,
    metavar="NAME",
    help="--headroom: who learns.  [default: ppo; mlp for data/...]",
)
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    help="--headroom: of each uniform run.",
)
@click.option(
    "--fork-steps",
    type=click.IntRange(1),
    default=None,
    metavar="N",
    help="--headroom: of each fork.  [default: a twentieth of the run]",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="--headroom: uniform runs.",
)
@click.option(
    "--first-seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="--headroom: where seeds begin.",
)
@click.option(
    "--checkpoints",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="--headroom: of each run, to fork from.",
)
@click.option(
    "--repeats",
    type=click.IntRange(2),
    default=2,
    show_default=True,
    help="--headroom: forks a cell.",
)
@click.option(
    "--grid",
    default=None,
    metavar="NAME[,NAME]",
    help="--headroom: dimensions that are cut in cells.  [default: the first two]",
)
@click.option(
    "--num-envs",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="--headroom: sub-environments side by side.",
)
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="--headroom: runs at once."
)
@click.option(
    "--study",
    type=click.Path(path_type=Path, exists=True),
    default=None,
    metavar="DIR",
    help="--headroom: a comparison whose teachers are judged too.",
)
@click.option("--out", type=click.Path(path_type=Path), default=None, metavar="DIR",
              help="--headroom: where everything goes; go on with it by giving it again.  "
              "[default: runs/headroom-ENV]")  # fmt: skip
def doctor(
    env: str,
    headroom: bool,
    wrap: str | None,
    loop: str | None,
    policy: str | None,
    compare: int,
    teacher: str,
    json_file: Path | None,
    modules: tuple[str, ...],
    settings: tuple[str, ...],
    **options: Any,
) -> None:
    """Examine ENV: does the task arrive, does it matter, do outcomes reach the teacher?

    ENV is any Gymnasium id; if it has no tasks yet, you are told how to give it some. Exit code 0
    if nothing serious was found, 1 otherwise. With --headroom, measure instead what choosing tasks
    could gain: forks of a uniform run on a grid of task cells.
    """
    for module in modules:
        __import__(module)
    if headroom:
        if wrap is not None:
            raise click.UsageError(
                "--headroom trains runs, which know an environment by its id: register the wrapped "
                "one and pass --import MODULE"
            )
        _measure(_base(env, modules, settings, options), options)
        return
    diagnoses = []
    from currgym.runs.config import is_named_elsewhere

    if is_named_elsewhere(env):
        raise ValueError(f"{env} is no environment, so it has no plumbing: try --headroom")
    diagnoses.append(_examine(env, wrap, policy, compare, teacher, settings))
    if loop is not None:
        from currgym.doctor import diagnose_loop
        from currgym.doctor.subject import imported

        diagnoses.append(diagnose_loop(imported(loop, "--loop"), loop))
    for diagnosis in diagnoses:
        _say(diagnosis)
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(d) for d in diagnoses], indent=1), encoding="utf-8")
    if not all(diagnosis.healthy for diagnosis in diagnoses):
        raise SystemExit(SICK)


def _examine(
    env: str,
    wrap: str | None,
    policy: str | None,
    compare: int,
    teacher: str,
    settings: tuple[str, ...],
) -> Diagnosis:
    from rich.console import Console

    from currgym.doctor import diagnose, subject_of
    from currgym.doctor.subject import imported
    from currgym.runs.settings import parse_value, split_settings
    from currgym.teaching import teachers

    teachers[teacher]  # a wrong name is no finding
    arguments = {k: parse_value(v) for k, v in split_settings(settings)["env"].items()}
    subject = subject_of(
        env,
        arguments,
        None if wrap is None else imported(wrap, "--wrap"),
        None if policy is None else imported(policy, "--policy"),
        compare,
    )
    with Console(stderr=True).status("examining ...") as status:
        return diagnose(subject, teacher, lambda what: status.update(f"examining: {what}"))


def _say(diagnosis: Diagnosis) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.padding import Padding

    console = Console(highlight=False)
    console.print(f"[bold]{escape(diagnosis.subject)}[/bold]")
    for name, what in diagnosis.passed.items():
        console.print(f"  [green]ok[/green]     {name}: {escape(what)}")
    for name, why in diagnosis.skipped.items():
        console.print(f"  [dim]skip   {name}: {escape(why)}[/dim]")
    for finding in diagnosis.findings:
        word = "[red]FOUND[/red] " if finding.serious else "[yellow]advice[/yellow]"
        console.print(f"  {word} [bold]{finding.name}[/bold]")
        for label, text in (
            ("tried", finding.tried), ("seen", finding.seen), ("to do", finding.remedy),
        ):  # fmt: skip
            console.print(Padding(f"[dim]{label}:[/dim] {escape(text)}", (0, 0, 0, 9)))
    serious = len(diagnosis.names)
    if serious:
        console.print(f"[red]{serious} serious finding{'s' if serious > 1 else ''}[/red]")
    else:
        console.print("[green]healthy[/green]")


# Headroom ----------------------------------------------------------------------------------------


def _base(
    env: str, modules: tuple[str, ...], settings: tuple[str, ...], options: dict[str, Any]
) -> RunConfig:
    from currgym.runs.config import RunConfig, environment_id, family_name, is_named_elsewhere
    from currgym.runs.settings import parse_value, split_settings, typed_student_parameters

    parts = split_settings(settings)
    name = family_name(env) if is_named_elsewhere(env) else environment_id(env)
    kind = RunConfig(name, "random", "", 1).kind
    defaults = {"rl": "ppo", "supervised": "mlp", "simulated": name.rpartition("/")[2]}
    student = options["student"] or defaults[kind]
    return RunConfig(
        env=name,
        teacher="random",
        student=student,
        steps=options["steps"],
        num_envs=options["num_envs"],
        env_parameters={k: parse_value(v) for k, v in parts["env"].items()},
        student_parameters=typed_student_parameters(student, parts["student"]),
        checkpoint_every=300.0,
        modules=list(modules),
    )


def _measure(base: RunConfig, options: dict[str, Any]) -> None:
    from rich.console import Console

    from currgym.doctor.headroom import Plan, advise, measure, tables

    first, grid, study = options["first_seed"], options["grid"], options["study"]
    plan = Plan(
        base,
        seeds=tuple(range(first, first + options["seeds"])),
        checkpoints=options["checkpoints"],
        fork_steps=options["fork_steps"],
        repeats=options["repeats"],
        dimensions=None if grid is None else tuple(grid.split(",")),
        study=None if study is None else str(study),
    )
    settled = plan.settled()
    out: Path = options["out"] or Path("runs") / f"headroom-{base.env.replace('/', '-')}"
    console = Console()
    console.print(
        f"{len(plan.seeds)} uniform runs of {settled.base.steps:,} steps, forks of "
        f"{settled.fork_steps:,} steps from {plan.checkpoints} checkpoints each: about "
        f"{settled.steps(16):,} steps of training"
    )
    with _Bar() as bar:
        found = measure(plan, out, options["jobs"], bar)
    for table in tables(found):
        console.print(table)
        console.print()
    advice = advise(found.summary)
    _write(found, advice, out)
    _explain(console, found)
    console.print(f"[bold]{advice.word}[/bold]: {advice.text}")
    console.print(f"written: {out / 'signal.json'}, {out / 'headroom.json'}")
    if study is not None:
        console.print(f"on its page: copy signal.json into {study}, then currgym report {study}")


def _explain(console: Any, found: Headroom) -> None:
    unit, seeds = found.summary.unit, len(found.plan.seeds)
    if unit == "checkpoint":
        console.print(
            f"Intervals are over the {len(found.forks)} checkpoints of {seeds} "
            f"run{'s' if seeds > 1 else ''}: they say how well these are known, and nothing of "
            "other seeds (--seeds 4 or more does)."
        )
    spent = found.ledger
    console.print(
        f"{spent.environment_steps:,} steps in all: {spent.steps:,} of training, "
        f"{spent.probe_steps:,} of probes, {spent.evaluation_steps:,} of evaluation; "
        f"{spent.updates:,} updates. A fork is worth what it gains at once: a stepping stone that "
        "pays later is not seen."
    )


def _write(found: Headroom, advice: Any, out: Path) -> None:
    document = {
        "advice": asdict(advice),
        "plan": found.plan.to_json(),
        "scale": found.scale,
        "cells": [found.cells.describe(cell) for cell in range(len(found.cells))],
        "summary": asdict(found.summary),
        "ledger": asdict(found.ledger),
    }
    for name, content in (("signal.json", found.signal_document()), ("headroom.json", document)):
        draft = out / f".{name}.draft"
        draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
        draft.replace(out / name)


class _Bar:
    """Progress of a measurement: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        from currgym.runs.live import Live

        self._live = Live()
        self._task: Any = None

    def __enter__(self) -> _Bar:
        if self._live.console.is_terminal:
            self._live.bars.start()
        return self

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._live.console.is_terminal:
            if self._task is None:
                self._task = self._live.bars.add_task(what, total=total, solved="")
            self._live.bars.update(self._task, description=what, completed=min(done, total))
        self._live.say(f"{what}: {done:,} of {total:,} steps")

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

"""The command line. Heavy things are imported by the command that needs them."""

from __future__ import annotations

import errno
import importlib
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

import currgym

__all__ = ["main"]

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

_DISK = {
    errno.ENOSPC: "no space left", errno.EDQUOT: "no space left", errno.EFBIG: "no space left",
    errno.EROFS: "cannot write there", errno.EACCES: "no permission", errno.EPERM: "no permission",
}  # fmt: skip


_ELSEWHERE: dict[str, str] = {
    "doctor": "currgym.commands.doctor",
    "reproduce": "currgym.commands.reproduce",
    "study": "currgym.commands.study",
    "watch": "currgym.commands.watch",
}
"""Commands with a module of their own (of the same name in it), imported when asked for."""


_FIRST_STEPS = {
    "A first look": "currgym demo",
    "One run": "currgym train CartPole-v0 --teacher alp-gmm --steps 200000 --out my-run",
    "A comparison": "currgym compare CartPole-v0 --teachers random alp-gmm --seeds 4 --jobs 2",
    "What there is": "currgym list",
}


class _Commands(click.Group):
    """The commands of this file and those that live elsewhere."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        with formatter.section("First steps"):
            formatter.write_dl(list(_FIRST_STEPS.items()))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(importlib.import_module(_ELSEWHERE[cmd_name]), cmd_name)
        return command


class _Described(click.Command):
    """A command whose help also lists the parameters of the teacher and student it was given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["asked"] = list(args)
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        from currgym.runs.describing import student_lines, teacher_lines

        asked: list[str] = ctx.meta.get("asked", [])
        for option, lines in (("--teacher", teacher_lines), ("--student", student_lines)):
            for here, following in itertools.pairwise(asked):
                if here == option and not following.startswith("-"):
                    title, rows = lines(following)
                    with formatter.section(title):
                        formatter.write_dl(rows or [("(none)", "")])


def _shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of ``train`` and ``compare`` alike."""
    options = [
        click.option("--steps", type=click.IntRange(1), default=100_000, show_default=True,
                     help="Budget: environment steps, or examples for data/..."),
        click.option("--student", default=None, metavar="NAME",
                     help="Who learns: 'currgym list students'.  [default: ppo; mlp for data/...]"),
        click.option("--num-envs", type=click.IntRange(1), default=16, show_default=True,
                     help="Sub-environments that run side by side."),
        click.option("--out", type=click.Path(path_type=Path), default=None, metavar="DIR",
                     help="Where everything goes: a new folder.  [default: runs/...]"),
        click.option("--set", "settings", multiple=True, metavar="PART.NAME=VALUE",
                     help="A hyperparameter: teacher.fit_period=100, student.n_steps=512, "
                     "env.body=short. Give it as often as you like."),
        click.option("--preset", default=None, help="Named settings of the teacher."),
        click.option("--test-set", default=None, metavar="NAME",
                     help="Tasks to evaluate on: one the environment names, or grid."),
        click.option("--test-tasks", type=click.IntRange(1), default=None, metavar="N",
                     help="At most this many of them, evenly."),
        click.option("--test-seeds", type=click.IntRange(1), default=3, show_default=True,
                     help="Environment seeds each is tried with."),
        click.option("--evaluate-every", type=click.IntRange(1), default=None, metavar="N",
                     help="Steps between evaluations.  [default: a twentieth of the budget]"),
        click.option("--keep-policies", type=click.IntRange(0), default=5, show_default=True,
                     help="Policies kept over a run, from which 'currgym film' shows progress."),
        click.option("--checkpoint-every", type=click.FloatRange(0), default=60.0,
                     show_default=True, metavar="SECONDS", help="Between checkpoints."),
        click.option("--step-timeout", type=click.FloatRange(0, min_open=True), default=300.0,
                     show_default=True, metavar="SECONDS",
                     help="End a run whose environment takes longer than this for one step."),
        click.option("--threads", type=click.IntRange(1), default=1, show_default=True,
                     help="Threads of torch and OpenMP in each run."),
        click.option("--log", multiple=True, metavar="wandb|mlflow",
                     help="Send scalars there too (TensorBoard events are always written)."),
        click.option("--workers", type=click.IntRange(0), default=0, show_default=True,
                     help="Ray workers that hold the sub-environments (0: this process does). "
                     "The run is the same."),
        click.option("--observe-task", is_flag=True, help="Append the task to the observation."),
        click.option("--import", "modules", multiple=True, metavar="MODULE",
                     help="A module to import first (it registers environments or teachers)."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(currgym.__version__, prog_name="currgym")
def cli() -> None:
    """Teachers choose which task a student meets next."""


@cli.command("list")
@click.argument("what", required=False, type=click.Choice(["envs", "teachers", "students"]))
def list_(what: str | None) -> None:
    """List environments, teachers and students."""
    from rich.console import Console
    from rich.table import Table

    from currgym.runs.describing import listing

    console = Console()
    for title, columns, rows in listing(what):
        table = Table(
            title=title, title_justify="left", box=None, pad_edge=False, show_header=False
        )
        for name, *more, summary in rows:
            pairs = zip(columns[1:-1], more, strict=True)
            notes = "; ".join(f"{column}: {value}" for column, value in pairs if value != "-")
            table.add_row(name, f"{summary}\n[dim]{notes}[/dim]" if notes else summary)
        console.print(table)
        console.print()


@cli.command(cls=_Described)
@click.argument("env")
@click.option("--teacher", default="random", show_default=True, metavar="NAME",
              help="Who chooses tasks: 'currgym list teachers'. "
              "With --help its parameters are listed.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of everything.")
@_shared_options
def train(env: str, teacher: str, seed: int, out: Path | None, **options: Any) -> None:
    """Train one student on ENV (an environment, with or without currgym/, or data/...)."""
    from currgym.runs.run import Run

    config = _config(env, teacher, seed, **options)
    folder = out or Path("runs") / f"{config.env.replace('/', '-')}-{config.teacher}-{config.seed}"
    _train(Run.create(config, folder))


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True,
              help="Runs side by side (a comparison).")  # fmt: skip
@click.option("--trust", is_flag=True, help="Allow importing modules that the run names.")
def resume(folder: Path, jobs: int, trust: bool) -> None:
    """Go on with an interrupted run or comparison, from its newest sound checkpoint."""
    from currgym.runs.run import Run

    if (folder / "study.toml").exists():
        from currgym.studies import Study

        _run_study(Study.open(folder, trust=trust), jobs)
        return
    run = Run.open(folder, trust)
    if run.finished:
        click.echo(f"{folder} is finished.")
        return
    _train(run)


@cli.command(cls=_Described)
@click.argument("env")
@click.option("--teachers", "arms", multiple=True, required=True, metavar="ARM ARM ...",
              help="NAME, NAME:preset or LABEL=NAME:key=value,... "
              "(yoked:of=LABEL replays another seed's log).")  # fmt: skip
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True,
              help="Runs of each arm: seeds 0, 1, ...")  # fmt: skip
@click.option("--first-seed", type=click.IntRange(0), default=0, show_default=True,
              help="Where seeds begin (tuning: 1000 and up).")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Runs at once.")
@click.option("--controls", is_flag=True, help="Add uniform-steps, and yoked arms where they fit.")
@click.option(
    "--reference",
    is_flag=True,
    help="Take the arms that reference results are shipped of from there: only yours run.",
)
@_shared_options
def compare(
    env: str,
    arms: tuple[str, ...],
    seeds: int,
    first_seed: int,
    jobs: int,
    controls: bool,
    reference: bool,
    out: Path | None,
    **options: Any,
) -> None:
    """Compare teachers on ENV over seeds, and write a report."""
    from currgym.studies import Arm, Study, with_controls, with_reference

    base = _config(env, "random", first_seed, **options)
    chosen = [Arm.parse(text) for text in arms]
    if controls:
        chosen = with_controls(chosen, base.kind, seeds)
    folder = out or Path("runs") / f"compare-{base.env.replace('/', '-')}"
    if reference:
        from currgym.studies.reference import arms_of

        chosen = with_reference(chosen, arms_of([base]))
    seeds_ = range(first_seed, first_seed + seeds)
    study = Study.of(folder, base, chosen, seeds_, reference=reference)
    study.create()
    _run_study(study, jobs)
    _write_report(folder)


@cli.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True,
              metavar="DIR", help="Where everything goes.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Runs at once.")
@click.option("--short", is_flag=True, help="A tiny budget, to see that it works.")
def demo(out: Path, jobs: int, short: bool) -> None:
    """Teach a real student by several teachers, and write a report (about 5 minutes)."""
    from currgym.studies.demo import run_demo

    def stage(text: str) -> None:
        click.echo(text)

    page = run_demo(out, jobs, short, stage, _follow)
    click.echo(f"\nOpen this in a browser:\n  {page.resolve()}")


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True))
@click.option("--trust", is_flag=True, help="Allow importing modules that the run names.")
def evaluate(folder: Path, trust: bool) -> None:
    """Play the test set with a run's student as its newest checkpoint has it."""
    from rich.console import Console
    from rich.table import Table

    from currgym.runs.run import Run

    run = Run.open(folder, trust)
    session = run.load_session()
    rows = session.evaluate()
    table = Table("task", "return", "solved", box=None, pad_edge=False)
    for index, task in enumerate(session.test_set.tasks):
        mine = [row for row in rows if row.task_index == index]
        if not mine:
            continue
        named = session.space.as_dict(task)
        table.add_row(
            ", ".join(
                f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in named.items()
            ),
            f"{sum(r.result for r in mine) / len(mine):.1f}",
            f"{sum(r.success for r in mine) / len(mine):.0%}",
        )
    session.close()
    Console().print(table)
    solved = sum(row.success for row in rows) / len(rows)
    click.echo(f"{session.test_set.name}: {solved:.1%} solved in {len(rows)} episodes")


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True))
def report(folder: Path) -> None:
    """Write DIR/report.html: one page, no network needed."""
    _write_report(folder)


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True))
def figure(folder: Path) -> None:
    """Write the figures for a paper: DIR/figures/*.pdf and *.png."""
    from currgym.report import figure as write_figures

    for path in write_figures(folder, folder / "figures"):
        click.echo(str(path))


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True))
@click.option("--task", default=None, metavar="NAME=VALUE,...",
              help="What to film; the default is an easy and a hard task.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=None, metavar="FILE")
@click.option("--trust", is_flag=True, help="Allow importing modules that the run names.")
def film(folder: Path, task: str | None, seed: int, out: Path | None, trust: bool) -> None:
    """Film a run's student on an easy and a hard task, or on one of your choice.

    Of a comparison, the first student of each teacher at several times of its training.
    """
    from currgym.runs.filming import film_run, film_study
    from currgym.runs.settings import parse_value, split_assignments

    if (folder / "study.json").exists():
        if task is not None or out is not None:
            raise click.UsageError("--task and --out are for one run; give a run's folder")
        for path in film_study(folder, seed, trust):
            click.echo(str(path))
        return
    chosen = None
    if task is not None:
        chosen = {k: parse_value(v) for k, v in split_assignments(task.split(",")).items()}
    for path in film_run(folder, chosen, seed, out, trust):
        click.echo(str(path))


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, exists=True))
@click.option("--episode", type=click.IntRange(0), required=True, help="As in episodes.csv.")
@click.option("--trust", is_flag=True, help="Allow importing modules that the run names.")
def why(folder: Path, episode: int, trust: bool) -> None:
    """Say why an episode's task was proposed: the teacher, rebuilt from the log at that moment."""
    from currgym.runs.describing import shown
    from currgym.runs.why import explain

    found = explain(folder, episode, trust)
    task = ", ".join(f"{name} {value}" for name, value in found.task.items())
    click.echo(f"episode {found.episode} (ticket {found.ticket}): {task}")
    click.echo(f"outcome: return {found.row['return']}, {found.row['length']} steps")
    click.echo(str(found.reason))
    click.echo(f"the teacher had seen {found.outcomes_seen} outcomes; what it went by:")
    for name, value in found.snapshot.items():
        click.echo(f"  {name}: {shown(value)}")


def _config(env: str, teacher: str, seed: int, **options: Any) -> Any:
    """Build a checked configuration from the command line."""
    from currgym.runs.config import (
        RunConfig,
        default_student,
        environment_id,
        family_name,
        is_named_elsewhere,
    )
    from currgym.runs.settings import (
        check_observes_task,
        parse_value,
        split_settings,
        typed_env_parameters,
        typed_student_parameters,
        typed_teacher_parameters,
    )
    from currgym.students import students
    from currgym.teaching import teachers

    for module in options["modules"]:
        __import__(module)
    kind = RunConfig(env, "random", "", 1).kind
    name = options["student"] or default_student(env)
    if students[name].kind != kind:
        wanted = [s for s in students if students[s].kind == kind]
        raise ValueError(
            f"student {name!r} is {students[name].kind}; {env} takes {', '.join(wanted)}"
        )
    teacher, _, inline = teacher.partition(":")
    preset: str | None = options["preset"] or inline or None
    cls = teachers[teacher]
    if preset is not None and preset not in cls.presets:
        from currgym.registry import nearest

        raise ValueError(nearest(preset, cls.presets, f"preset of teacher {teacher!r}"))
    parts = split_settings(options["settings"])
    if parts["run"]:
        raise ValueError("--set run.NAME is not a setting: use the command's own options")
    if is_named_elsewhere(env):
        if options["observe_task"]:
            raise ValueError(f"--observe-task is for environments; {env} has no observations")
        env = family_name(env)  # which checks its arguments itself
        env_parameters = {key: parse_value(text) for key, text in parts["env"].items()}
    else:
        env = environment_id(env)
        env_parameters = typed_env_parameters(env, parts["env"])
        if options["observe_task"]:
            check_observes_task(env)
    if options["observe_task"]:
        env_parameters["observe_task"] = True
    return RunConfig(
        env=env,
        teacher=teacher,
        student=name,
        steps=options["steps"],
        seed=seed,
        num_envs=options["num_envs"],
        preset=preset,
        env_parameters=env_parameters,
        teacher_parameters=typed_teacher_parameters(teacher, parts["teacher"]),
        student_parameters=typed_student_parameters(name, parts["student"]),
        evaluate_every=options["evaluate_every"],
        test_set=options["test_set"],
        test_tasks=options["test_tasks"],
        test_seeds=options["test_seeds"],
        checkpoint_every=options["checkpoint_every"],
        threads=options["threads"],
        keep_policies=options["keep_policies"],
        workers=options["workers"],
        step_timeout=options["step_timeout"],
        modules=list(options["modules"]),
        log=list(options["log"]),
    )


def _train(run: Any) -> None:
    from currgym.runs.live import RunBar

    with RunBar(run) as bar:
        summary = run.train(bar)
    for note in run.notes:
        click.echo(f"note: {note}")
    solved = (
        "" if summary["solved"] is None else f", {summary['solved']:.1%} of the test set solved"
    )
    spent = summary["ledger"]
    probes = f" and {spent['probe_steps']:,} of probes" if spent["probe_steps"] else ""
    click.echo(f"{spent['steps']:,} steps{probes} in {summary['seconds']:.0f} s{solved}")
    click.echo(f"report: currgym report {run.folder}")


def _run_study(study: Any, jobs: int) -> None:
    from currgym.runs.run import Interrupted

    try:
        failed = _follow(study, jobs)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; go on with: currgym resume {study.folder}") from None
    if failed:
        raise click.ClickException("some runs failed:\n  " + "\n  ".join(failed))


def _follow(study: Any, jobs: int) -> list[str]:
    """Run a study with a live view; return what failed."""
    from currgym.studies.live import StudyBar

    with StudyBar(study) as bar:
        failed: list[str] = study.run(jobs, bar)
    return failed


def _write_report(folder: Path) -> None:
    from currgym.report import write

    click.echo(f"report: {write(folder)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    args = _gather_arms(list(sys.argv[1:] if arguments is None else arguments))
    # `--import my_teachers` means the file beside the user; last, so that it hides nothing.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            returned = cli.main(args=args, prog_name="currgym", standalone_mode=False)
        code = returned if isinstance(returned, int) else DONE
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.UsageError as error:
        error.show()
        code = USAGE
    except click.ClickException as error:
        error.show()
        code = FAILED
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = INTERRUPTED
    except Exception as error:
        code = _explain(error)
    sys.exit(code)


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning as a sentence, without the line of code that gave it."""
    click.echo(f"warning: {message}", err=True)


def _gather_arms(args: list[str]) -> list[str]:
    """Let ``--teachers a b c`` take several arms, as a shell user expects."""
    if "--teachers" not in args:
        return args
    at = args.index("--teachers")
    end = at + 1
    while end < len(args) and not args[end].startswith("-"):
        end += 1
    spread = [word for arm in args[at + 1 : end] for word in ("--teachers", arm)]
    return [*args[:at], *(spread or ["--teachers"]), *args[end:]]


def _explain(error: Exception) -> int:
    """Print what went wrong in one sentence; a traceback only for what we did not expect."""
    from currgym.runs.run import Interrupted

    if isinstance(error, Interrupted):
        click.echo(str(error), err=True)
        return INTERRUPTED
    if isinstance(error, OSError) and error.errno in _DISK:
        what = _DISK[error.errno]
        click.echo(f"error: {what}: {error}. Checkpoints are untouched.", err=True)
        return FAILED
    import gymnasium

    if isinstance(error, (ImportError, gymnasium.error.Error)):
        click.echo(f"error: {error}", err=True)
        return USAGE
    if isinstance(error, (ValueError, TypeError, OSError, KeyError, RuntimeError)):
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        click.echo(f"error: {text}", err=True)
        return FAILED if not isinstance(error, (ValueError, TypeError)) else USAGE
    raise error

"""``currgym study``: plan, run, look at and publish a study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["study"]

_FILE = click.argument("file", metavar="FILE", type=click.Path(path_type=Path, exists=True))
_STRICT = click.option(
    "--strict", is_flag=True, help="Other versions of other packages make other runs."
)
_TRUST = click.option(
    "--trust", is_flag=True, help="Allow importing the modules that the file names."
)


def _run_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        _TRUST,
        _STRICT,
        click.option("--engine", default="pool", show_default=True, metavar="NAME",
                     help="Where runs are executed: inline, pool or ray."),
        click.option("--address", default=None, metavar="HOST:PORT",
                     help="Of the Ray cluster.  [default: RAY_ADDRESS, else what 'ray start' has "
                     "started here, else a new one]"),
        click.option("--jobs", type=click.IntRange(1), default=None, metavar="N",
                     help="Runs at once.  [default: one a core, of the cluster's with ray]"),
        _FILE,
    ):  # fmt: skip
        command = option(command)
    return command


@click.group()
def study() -> None:
    """Plan and run a study: a TOML file of environments, teachers, students and seeds."""


@study.command()
@_FILE
@_STRICT
@_TRUST
def freeze(file: Path, strict: bool, trust: bool) -> None:
    """Fix the plan before its runs; without it a study gives no verdict."""
    from currgym.studies import StudySpec
    from currgym.studies import freeze as freeze_plan
    from currgym.studies.freezing import frozen_path

    spec = StudySpec.read(file, trust)
    digest = freeze_plan(spec, strict)
    click.echo(f"frozen: {digest[:16]} ({frozen_path(spec)}); commit that file with the study")


@study.command()
@_run_options
def run(file: Path, **options: Any) -> None:
    """Run what the store lacks, several runs at a time."""
    _go(file, **options)


@study.command()
@_run_options
def resume(file: Path, **options: Any) -> None:
    """Go on with an interrupted study (the same as run: what is there stays)."""
    _go(file, **options)


@study.command()
@_FILE
@_STRICT
@_TRUST
@click.option("--rebuild", is_flag=True, help="Make the index anew from the run folders first.")
def status(file: Path, strict: bool, trust: bool, rebuild: bool) -> None:
    """Show how far it is: runs done, running, failed and waiting, by arm."""
    from rich.console import Console
    from rich.table import Table

    from currgym.studies import Study, frozen_hash
    from currgym.studies.store import STATES

    opened = Study.open(file, strict, trust)
    if rebuild:
        click.echo(f"{opened.store.rebuild():,} runs found in {opened.folder}")
    progress = opened.status()
    for panel in opened.spec.panels:
        table = Table("arm", *STATES, "solved", title=panel.label, title_justify="left", box=None)
        for arm in opened.spec.arms:
            mine = [
                progress.runs[cell.key]
                for cell in opened.cells
                if cell.arm == arm.label and cell.panel == panel.label
            ]
            solved = [run.solved for run in mine if run.state == "done" and run.solved is not None]
            counts = [str(sum(run.state == state for run in mine)) for state in STATES]
            mean = f"{sum(solved) / len(solved):.1%}" if solved else "-"
            table.add_row(arm.label, *counts, mean)
        Console().print(table)
    for run_ in progress.runs.values():
        if run_.state == "failed":
            click.echo(f"failed: {run_.folder}: {run_.error}")
    for origin in sorted({run_.origin for run_ in progress.runs.values() if run_.origin}):
        number = sum(run_.origin == origin for run_ in progress.runs.values())
        click.echo(f"{number} runs are {origin}")
    if opened.spec.plan is None:
        plan = "none: an exploration, without a verdict"
    else:
        digest = frozen_hash(opened.spec)
        plan = f"frozen, {digest[:16]}" if digest else "not frozen: no verdict (study freeze)"
    click.echo(f"plan: {plan}")


@study.command()
@_FILE
@_STRICT
@_TRUST
def report(file: Path, strict: bool, trust: bool) -> None:
    """Print what each environment and student shows, and write their pages."""
    from rich.console import Console

    from currgym.report.page import write_page
    from currgym.studies import Study, conclude_across
    from currgym.studies.export import pages_of
    from currgym.studies.tables import LEGEND, across_table, table

    opened = Study.open(file, strict, trust)
    opened.status()
    pages = pages_of(opened)
    found = {label: page.conclusions() for label, page in pages.items()}
    if not found:
        raise click.ClickException(f"no run has begun: currgym study run {file}")
    console = Console()
    for label, concluded in found.items():
        console.print(table(label, concluded))
        if concluded.tried:
            console.print(concluded.tried, highlight=False, markup=False, soft_wrap=True)
        for arm in concluded.arms:
            if arm.verdict.final:
                reason = f"{arm.arm}: {arm.verdict.reason}"
                console.print(reason, highlight=False, markup=False, soft_wrap=True)
        if concluded.best is not None:
            best, runner_up = concluded.best.best, concluded.best.runner_up
            console.print(
                f"first: {best}, against {runner_up} p = {concluded.best.p:.2g} "
                "(corrected for having been selected)", highlight=False, soft_wrap=True,
            )  # fmt: skip
        console.print()
    if any(arm.crosses for concluded in found.values() for arm in concluded.arms):
        console.print(LEGEND)
    together = conclude_across(found)
    if together is not None:
        console.print(across_table(together))
    first = next(iter(found.values()))
    if not first.verdict.final:
        console.print(f"{first.verdict.word}: {first.verdict.reason}", soft_wrap=True)
    for page in pages.values():
        click.echo(f"report: {write_page(page)}")


@study.command()
@_FILE
@_STRICT
@_TRUST
@click.option("--out", type=click.Path(path_type=Path), default=None, metavar="DIR",
              help="Where tables go.  [default: tables/ in the store]")  # fmt: skip
def export(file: Path, strict: bool, trust: bool, out: Path | None) -> None:
    """Write tidy tables: runs, evaluations and conclusions as CSV and Parquet, LaTeX."""
    from currgym.studies import Study
    from currgym.studies.export import export as write_tables

    opened = Study.open(file, strict, trust)
    opened.status()
    for path in write_tables(opened, out or opened.folder / "tables"):
        click.echo(str(path))


def _go(
    file: Path, engine: str, address: str | None, jobs: int | None, strict: bool, trust: bool
) -> None:
    from currgym.studies import Study
    from currgym.studies.live import StudyBar

    opened = Study.open(file, strict, trust)
    with StudyBar(opened) as bar:
        failed = opened.run(jobs, bar, engine, address)
    if failed:
        raise click.ClickException("some runs failed:\n  " + "\n  ".join(failed))
    click.echo(f"done; see: currgym study report {file}")

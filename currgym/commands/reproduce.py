"""``currgym reproduce``: run it again, and say whether it is the same."""

from __future__ import annotations

from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import click

__all__ = ["reproduce"]


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), default=None, metavar="DIR",
              help="Where it is run again: a new folder.  [default: runs/again-...]")  # fmt: skip
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True,
              help="Runs at once, where RUN is the folder of a comparison or study.")  # fmt: skip
@click.option("--trust", is_flag=True, help="Allow importing modules that the run names.")
def reproduce(folder: Path, out: Path | None, jobs: int, trust: bool) -> None:
    """Run RUN again in a fresh folder, and say whether it is the same, byte for byte.

    Compared are the logs (episodes, evaluations, calls, ...), the final state of teacher, student
    and curriculum, and the ledger. Exit code 0: the same; 1: different. RUN may also be the folder
    of a comparison or study: every run in it is repeated.
    """
    from currgym.runs.reproducing import runs_in

    runs = runs_in(folder)
    base = out or Path("runs") / f"again-{folder.resolve().name}"
    if len(runs) == 1:
        found = {runs[0]: _one(runs[0], base, trust)}
    else:
        found = _many(runs, base, jobs, trust)
    for run, lines in found.items():
        _tell(run, lines)
    different = sum(bool(lines) for lines in found.values())
    if len(found) > 1:
        click.echo(f"{len(found) - different} of {len(found)} runs are the same")
    if different:
        raise click.exceptions.Exit(1)


def _one(folder: Path, out: Path, trust: bool) -> list[str]:
    from currgym.runs.live import RunBar
    from currgym.runs.reproducing import reproduce as run_again
    from currgym.runs.run import Run

    with RunBar(Run.open(folder, trust)) as bar:
        return run_again(folder, out, trust, bar)


def _many(runs: list[Path], base: Path, jobs: int, trust: bool) -> dict[Path, list[str]]:
    from rich.progress import Progress

    from currgym.runs.reproducing import reproduce as run_again

    found: dict[Path, list[str]] = {}
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool, Progress() as bars:
        task = bars.add_task("runs", total=len(runs))
        waiting: dict[Future[list[str]], Path] = {
            pool.submit(run_again, run, base / run.parent.name / run.name, trust): run
            for run in runs
        }
        for done in as_completed(waiting):
            run = waiting[done]
            error = done.exception()
            if error is not None and not isinstance(error, (ValueError, RuntimeError, OSError)):
                raise error
            found[run] = [str(error)] if error is not None else done.result()
            bars.advance(task)
    return {run: found[run] for run in runs}


def _tell(folder: Path, lines: list[str]) -> None:
    from currgym.runs.config import RunConfig
    from currgym.runs.reproducing import differences_here

    _, document = RunConfig.read(folder)
    if not lines:
        click.echo(f"{folder}: the same, to the last bit")
    else:
        click.echo(f"{folder}: different")
        for line in lines:
            click.echo(f"  {line}")
    changed = differences_here(document)
    for what, recorded, here in changed:
        click.echo(f"  {what}: {recorded} then, {here} now")
    if lines and not changed:
        click.echo("  versions, processor and threads are those of the recorded run")
    if lines and document.get("exact_resume") is False:
        click.echo("  (resume is not exact for its student: if it was interrupted, it differs so)")

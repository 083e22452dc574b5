"""Tables of a study for other programs: tidy CSV and Parquet, and LaTeX for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from currgym.studies.conclusions import Conclusions, conclude_across
from currgym.studies.study import Study
from currgym.studies.tables import across_rows, latex, rows

if TYPE_CHECKING:
    import pandas

    from currgym.report.data import Study as Page

__all__ = ["conclusions_of", "evaluations_table", "export", "pages_of", "runs_table"]


def runs_table(study: Study) -> pandas.DataFrame:
    """Return one row a finished run: what it was, how it ended, what was spent."""
    import pandas

    stored = study.results()
    rows = []
    for cell in study.cells:
        run = stored[cell.key]
        if run.state != "done":
            continue
        rows.append(
            {
                "panel": cell.panel, "env": run.env, "student": run.student, "arm": cell.arm,
                "teacher": run.teacher, "preset": run.preset, "parameters": run.parameters,
                "seed": run.seed, "budget": run.budget,
                "solved": run.solved, "area": run.area, "return": run.mean_return,
                "seconds": run.seconds, **{f"ledger.{k}": v for k, v in run.ledger.items()},
                "origin": run.origin, "key": run.key,
            }
        )  # fmt: skip
    return pandas.DataFrame(rows)


def evaluations_table(study: Study) -> pandas.DataFrame:
    """Return one row an evaluation of a finished run: step, share solved, mean return."""
    import pandas

    curves = study.curves()
    rows = [
        (cell.panel, cell.arm, cell.seed, step, solved, mean, cell.key)
        for cell in study.cells
        for step, solved, mean in curves[cell.key]
    ]
    names = ["panel", "arm", "seed", "step", "solved", "return", "key"]
    return pandas.DataFrame(rows, columns=names)


def conclusions_of(study: Study) -> dict[str, Conclusions]:
    """Return what each panel shows, as its page does: label -> conclusions.

    Panels of which no run has begun are left out.
    """
    return {label: page.conclusions() for label, page in pages_of(study).items()}


def pages_of(study: Study) -> dict[str, Page]:
    """Return each panel as its page shows it, by label; without those of which no run has begun."""
    from currgym.report.data import load

    study.describe()
    runs = study.results()
    begun = {c.panel for c in study.cells if (runs[c.key].folder / "config.json").is_file()}
    return {
        panel.label: load(study.page_folder(panel))
        for panel in study.spec.panels
        if panel.label in begun
    }


def results_latex(study: Study) -> str:
    """Return the LaTeX table of a study's conclusions; reference results are marked."""
    return latex(conclusions_of(study), _origins(runs_table(study)))


def _origins(runs: pandas.DataFrame) -> dict[str, str]:
    """Return where an arm's runs come from, of arms that are not this study's own."""
    if not len(runs):
        return {}
    shipped = runs[runs["origin"].notna()]
    return dict(zip(shipped["arm"], shipped["origin"], strict=True))


def export(study: Study, out: Path) -> list[Path]:
    """Write ``runs``, ``evaluations`` and ``conclusions`` as CSV and Parquet, and ``results.tex``.

    ``across`` sums up over three environments or more, where there are as many.

    Raises:
        ImportError: If pyarrow, which writes Parquet, is missing (CSV is written by then).
    """
    import pandas

    out.mkdir(parents=True, exist_ok=True)
    written = []
    found = conclusions_of(study)
    tables = {
        "runs": runs_table(study),
        "evaluations": evaluations_table(study),
        "conclusions": pandas.DataFrame(
            [row for panel, concluded in found.items() for row in rows(panel, concluded)]
        ),
    }
    together = conclude_across(found)
    if together is not None:
        tables["across"] = pandas.DataFrame(across_rows(together))
    for name, table in tables.items():
        written.append(out / f"{name}.csv")
        table.to_csv(written[-1], index=False)
    written.append(out / "results.tex")
    written[-1].write_text(latex(found, _origins(tables["runs"])), encoding="utf-8")
    for name, table in tables.items():
        written.append(out / f"{name}.parquet")
        try:
            table.to_parquet(written[-1], index=False)
        except ImportError:
            raise ImportError(
                "Parquet needs pyarrow: pip install 'currgym[parquet]' (the CSV files are written)"
            ) from None
    return written

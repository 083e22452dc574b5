"""Tables of a study for other programs: tidy CSV and Parquet, and LaTeX for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from currgym.statistics import t_interval
from currgym.studies.study import Study

if TYPE_CHECKING:
    import pandas

__all__ = ["evaluations_table", "export", "results_latex", "runs_table"]


def runs_table(study: Study) -> pandas.DataFrame:
    """Return one row a finished run: what it was, how it ended, what was spent."""
    import pandas

    stored = study.store.runs(cell.key for cell in study.cells)
    rows = []
    for cell in study.cells:
        run = stored.get(cell.key)
        if run is None or run.state != "done":
            continue
        rows.append(
            {
                "panel": cell.panel, "env": run.env, "student": run.student, "arm": cell.arm,
                "teacher": run.teacher, "seed": run.seed, "budget": run.budget,
                "solved": run.solved, "area": run.area, "return": run.mean_return,
                "seconds": run.seconds, **{f"ledger.{k}": v for k, v in run.ledger.items()},
                "key": run.key,
            }
        )  # fmt: skip
    return pandas.DataFrame(rows)


def evaluations_table(study: Study) -> pandas.DataFrame:
    """Return one row an evaluation of a finished run: step, share solved, mean return."""
    import pandas

    curves = study.store.curves(cell.key for cell in study.cells)
    rows = [
        (cell.panel, cell.arm, cell.seed, step, solved, mean, cell.key)
        for cell in study.cells
        for step, solved, mean in curves[cell.key]
    ]
    names = ["panel", "arm", "seed", "step", "solved", "return", "key"]
    return pandas.DataFrame(rows, columns=names)


def results_latex(study: Study) -> str:
    """Return a LaTeX table: arms by panels, per cent solved at the end with a 95 % t interval.

    Needs the package ``booktabs``.
    """
    table = runs_table(study)
    panels = [panel.label for panel in study.spec.panels]
    lines = [
        rf"\begin{{tabular}}{{l{'r' * len(panels)}}}",
        r"\toprule",
        " & ".join(["arm", *(_tex(panel) for panel in panels)]) + r" \\",
        r"\midrule",
    ]
    for arm in study.spec.arms:
        entries = [_tex(arm.label)]
        for panel in panels:
            mine = table
            if len(table):
                mine = table[(table["arm"] == arm.label) & (table["panel"] == panel)]
            entries.append(_entry(100.0 * mine["solved"].to_numpy()) if len(mine) else "--")
        lines.append(" & ".join(entries) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(lines)


def _entry(percent: object) -> str:
    found = t_interval(percent)  # type: ignore[arg-type]
    if not found.known:
        return f"{found.estimate:.1f}"
    shown = found.clipped(0.0, 100.0)
    return f"{shown.estimate:.1f} [{shown.low:.1f}, {shown.high:.1f}]"


def _tex(text: str) -> str:
    return text.replace("_", r"\_").replace("&", r"\&").replace("%", r"\%")


def export(study: Study, out: Path) -> list[Path]:
    """Write ``runs`` and ``evaluations`` as CSV and Parquet, and ``results.tex``.

    Raises:
        ImportError: If pyarrow, which writes Parquet, is missing (CSV is written by then).
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    tables = {"runs": runs_table(study), "evaluations": evaluations_table(study)}
    for name, table in tables.items():
        written.append(out / f"{name}.csv")
        table.to_csv(written[-1], index=False)
    written.append(out / "results.tex")
    written[-1].write_text(results_latex(study), encoding="utf-8")
    for name, table in tables.items():
        written.append(out / f"{name}.parquet")
        try:
            table.to_parquet(written[-1], index=False)
        except ImportError:
            raise ImportError(
                "Parquet needs pyarrow: pip install 'currgym[parquet]' (the CSV files are written)"
            ) from None
    return written

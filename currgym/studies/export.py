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


def results_latex(study: Study) -> str:
    """Return a LaTeX table: arms by panels, per cent solved at the end with a 95 % t interval.

    Seeds that differ between arms, and reference results, are told in notes below. Needs the
    package ``booktabs``.
    """
    table = runs_table(study)
    panels = [panel.label for panel in study.spec.panels]
    measured: set[str] = set()
    counts: set[int] = set()
    lines = [
        f"% {study.spec.name}: per cent of the test set solved at the end of the budget, "
        "mean [95 % t interval] over seeds",
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
            entries.append(_entry(mine) if len(mine) else "--")
            measured |= set(mine["origin"].dropna()) if len(mine) else set()
            counts.add(len(mine))
        lines.append(" & ".join(entries) + r" \\")
    lines.append(r"\bottomrule")
    notes = [f"Seeds a cell: {min(counts)}" + (f" to {max(counts)}" if len(counts) > 1 else "")]
    notes += [rf"$^\dagger$ {_tex(origin)}" for origin in sorted(measured)]
    width = len(panels) + 1
    lines += [rf"\multicolumn{{{width}}}{{l}}{{\footnotesize {note}.}} \\" for note in notes]
    lines += [r"\end{tabular}", ""]
    return "\n".join(lines)


def _entry(runs: pandas.DataFrame) -> str:
    mark = r"$^\dagger$" if runs["origin"].notna().any() else ""
    found = t_interval(100.0 * runs["solved"].to_numpy())
    if not found.known:
        return f"{found.estimate:.1f}{mark}"
    shown = found.clipped(0.0, 100.0)
    return f"{shown.estimate:.1f} [{shown.low:.1f}, {shown.high:.1f}]{mark}"


_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _tex(text: str) -> str:
    return "".join(_SPECIAL.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


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

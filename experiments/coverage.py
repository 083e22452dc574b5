"""How often does a nominal 95 % interval hold the true value? The table behind what is offered.

    python experiments/coverage.py            4,000 studies a cell or 1,500, some minutes
    python experiments/coverage.py --short    300 studies a cell: illustration, no verdict

*Question:* does each method of ``currgym.statistics`` cover 93 to 97 % where it is offered (more
where outcomes are discrete, or nothing is assumed of them)? *Endpoint:* share of simulated studies
whose interval holds the truth, at n = 5, 8, 10, 20, 30. It also measures how often a test errs
whose arms are paired by the correlation of its own runs. Writes coverage.json.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import currgym
from currgym.statistics import coverage

RESULTS = Path(__file__).parent / "results"


def simulate(index: int, sizes: tuple[int, ...], studies: int | None) -> dict[str, Any]:
    """Return one row of the table, refused sizes included where the method can be run there."""
    cell = coverage.CELLS[index]
    wanted = [n for n in sizes if cell.method != "median_time" or cell.offered(n)]
    many = min(studies or cell.studies, cell.studies)
    found = {n: coverage.simulate(cell, n, many) for n in wanted}
    return {
        "method": cell.method, "shape": cell.shape, "outcome": cell.label, "studies": many,
        "inside": cell.inside, "may_exceed": cell.may_exceed,
        "offered": [n for n in sizes if cell.offered(n)],
        "coverage": {str(n): None if math.isnan(c) else c for n, c in found.items()},
        "line": coverage.line(coverage.Row(cell, found), sizes),
    }  # fmt: skip


def pairing_errors(studies: int) -> dict[str, dict[str, float]]:
    """Return how often 5 % tests of independent arms err: paired, Welch's, or as their runs say."""
    errors = {}
    for n in (8, 10, 20):
        x, y = np.random.default_rng(0).normal(size=(2, studies, n))
        paired: Any = stats.ttest_rel(x, y, axis=1)
        welch: Any = stats.ttest_ind(x, y, axis=1, equal_var=False)
        both: Any = stats.pearsonr(x, y, axis=1)
        chosen = np.where(both.statistic > 0.3, paired.pvalue, welch.pvalue)
        tests = {"paired": paired.pvalue, "Welch": welch.pvalue, "by its own correlation": chosen}
        errors[f"n = {n}"] = {name: float((p < 0.05).mean()) for name, p in tests.items()}
    return errors


def main() -> None:
    """Simulate, print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="300 studies a cell: no verdict")
    parser.add_argument(
        "--only", default="", metavar="METHOD",
        help="simulate the rows of methods that begin so; the others stay as the file has them",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for coverage.json")
    arguments = parser.parse_args()
    short = bool(arguments.short)
    sizes = (8, 20) if short else coverage.SIZES
    studies = 300 if short else None
    start = time.perf_counter()
    path = arguments.out / ("coverage-short.json" if short else "coverage.json")
    kept = {}
    if arguments.only:
        rows_there = json.loads(path.read_text())["rows"]
        kept = {(row["method"], row["shape"], row["outcome"]): row for row in rows_there}
    print("Per cent of simulated studies whose nominal 95 % interval holds the true value.")
    print("In brackets: refused at this n for this shape.\n")
    print(
        f"{'method':40} {'shape':8} {'outcome':44} " + " ".join(f"{f'n = {n}':>7}" for n in sizes)
    )
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        jobs = {
            index: pool.submit(simulate, index, sizes, studies)
            for index, cell in enumerate(coverage.CELLS)
            if cell.method.startswith(arguments.only)
        }
        for index, cell in enumerate(coverage.CELLS):
            key = (cell.method, cell.shape, cell.label)
            rows.append(jobs[index].result() if index in jobs else kept[key])
            print(rows[-1]["line"], flush=True)
    errors = pairing_errors(2_000 if short else 100_000)
    print("\n5 % tests of independent arms that err, by how they were paired:")
    for n, found in errors.items():
        print(f"{n:7} " + ", ".join(f"{name} {rate:.1%}" for name, rate in found.items()))
    low = [
        (row["method"], row["outcome"], int(n), share,
         math.sqrt(share * (1.0 - share) / row["studies"]))
        for row in rows if row["inside"]
        for n, share in row["coverage"].items()
        if int(n) in row["offered"] and share is not None and share < coverage.LEAST
    ]  # fmt: skip
    # What is below by more than twice the simulation's error is below; the rest is undecided.
    failed = [entry for entry in low if entry[3] + 2.0 * entry[4] < coverage.LEAST]
    verdict = "contradicted" if failed else "inconclusive" if low else "supported"
    verdict = "illustration, no verdict" if short else verdict
    print(f"\nevery method covers 93 % or more where it is offered: {verdict}")
    for method, outcome, n, share, error in low if not short else []:
        print(f"  below: {method}, {outcome}, n = {n}: {share:.1%} +- {error:.1%}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    document = {
        "currgym": currgym.__version__, "sizes": list(sizes), "verdict": verdict,
        "pairing_errors": errors, "below": low, "rows": rows,
    }  # fmt: skip
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{time.perf_counter() - start:.0f} s; wrote {path.name}")


if __name__ == "__main__":
    main()

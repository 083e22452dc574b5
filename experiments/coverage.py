"""How often does a nominal 95 % interval hold the true value? The table behind what is offered.

    python experiments/coverage.py            5,000 studies a cell, some minutes
    python experiments/coverage.py --short    300 studies a cell, n = 8 and 20: illustration, no verdict

*Question:* does each method of ``currgym.statistics`` cover 93 to 97 % where it is offered (more
where outcomes are discrete, or nothing is assumed of them)? *Endpoint:* share of simulated studies
whose interval holds the truth, at n = 5, 8, 10, 20, 30. It also measures how often a test errs whose
arms are paired by the correlation of its own runs. Writes coverage.json.
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
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for coverage.json")
    arguments = parser.parse_args()
    short = bool(arguments.short)
    sizes = (8, 20) if short else coverage.SIZES
    studies = 300 if short else None
    start = time.perf_counter()
    print("Per cent of simulated studies whose nominal 95 % interval holds the true value.")
    print("In brackets: refused at this n for this shape.\n")
    print(
        f"{'method':40} {'shape':8} {'outcome':44} " + " ".join(f"{f'n = {n}':>7}" for n in sizes)
    )
    rows = []
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(simulate, index, sizes, studies) for index in range(len(coverage.CELLS))
        ]
        for job in jobs:
            rows.append(job.result())
            print(rows[-1]["line"], flush=True)
    errors = pairing_errors(2_000 if short else 100_000)
    print("\n5 % tests of independent arms that err, by how they were paired:")
    for n, found in errors.items():
        print(f"{n:7} " + ", ".join(f"{name} {rate:.1%}" for name, rate in found.items()))
    low = [
        (row["method"], row["outcome"], int(n), share)
        for row in rows if row["inside"]
        for n, share in row["coverage"].items()
        if int(n) in row["offered"] and share is not None and share < coverage.LEAST
    ]  # fmt: skip
    verdict = "illustration, no verdict" if short else "supported" if not low else "contradicted"
    print(f"\nevery method covers 93 % or more where it is offered: {verdict}")
    for entry in low if not short else []:
        print(f"  below: {entry[0]}, {entry[1]}, n = {entry[2]}: {entry[3]:.1%}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    document = {
        "currgym": currgym.__version__, "sizes": list(sizes), "verdict": verdict,
        "pairing_errors": errors, "below": low, "rows": rows,
    }  # fmt: skip
    name = "coverage-short.json" if short else "coverage.json"
    (arguments.out / name).write_text(json.dumps(document, indent=1) + "\n")
    print(f"{time.perf_counter() - start:.0f} s; wrote {name}")


if __name__ == "__main__":
    main()

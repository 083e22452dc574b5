"""Unsupervised environment design on mazes: is any teacher better than random levels (DR)?

PLR, robust PLR, ACCEL, SFL and PAIRED on ``GridMaze-v0``, tested on hand-made mazes that none of
them has seen, with environment steps and gradient updates as two axes. (What the regret proxies
that they rank levels by know of true regret is the question of ``experiments/regrets.py``.)

*Plan, before the runs* (``experiments/maze/*.toml``, frozen beside them): share of the eight
hand-made mazes solved by the deterministic policy, averaged over the 20 evaluations of a run (a
single evaluation flickers by two mazes from one update to the next). ``levels``: one student (PPO),
baseline ``random``, contrasts PLR, robust PLR, ACCEL, SFL and the hand-made curriculum; ``pair``:
PAIRED's two learners, baseline the same two on random mazes. 16 seeds, Holm over the contrasts,
smallest effect of interest 5 points, also the margin of equivalence. PAIRED beside a single student
on random mazes is description.

*Budget*: 409,600 environment steps, probes included and both learners of the pair counted; so who
probes makes fewer gradient updates, which the second axis shows.

*Gate*, on seeds from 1000: size and budget are such that ``random`` solves 20 to 80 % of the
hand-made mazes, and a hand-made curriculum (``window``: mazes in order of their solution's length)
is better. Tried::

{TRIED}

    nice -n 5 python experiments/maze.py            # about 2.5 hours on two cores; goes on if begun
    python experiments/maze.py --table              # only sums up what is there
    python experiments/maze.py --short --out DIR    # half a minute: illustration, no verdict
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from studied import RESULTS, Short, parser_of, run

from currgym.runs.logs import read_rows
from currgym.statistics import difference_if_offered, t_band
from currgym.studies import Study

FloatArray = NDArray[np.float64]

SHORT = Short(arms=("random", "sfl", "paired"), steps=1024, student={"n_steps": 32, "n_epochs": 1})
AXES = {"environment_steps": "environment steps, probes included", "updates": "gradient updates"}
POINTS = 21
GATE = (0.2, 0.8)
COLOURS = {
    "random": "#555555", "plr": "#1b9e77", "robust-plr": "#66a61e", "accel": "#d95f02",
    "sfl": "#7570b3", "window": "#a6761d", "paired": "#e7298a",
}  # fmt: skip


def axes_of(folder: Path, curve: Sequence[tuple[int, float, float]]) -> dict[str, FloatArray]:
    """Return what a run had spent at each evaluation, by axis, and the share it solved there."""
    steps = np.array([step for step, _, _ in curve], dtype=np.float64)
    probes, optimizer = folder / "probes.csv", folder / "optimizer.csv"
    rows = list(read_rows(probes)) if probes.exists() else []
    # Probes are played before the evaluation at the same step.
    at = np.array([int(row["step"]) for row in rows], dtype=np.int64)
    spent = np.concatenate([[0], np.cumsum([int(row["length"]) for row in rows])])
    measured = [(0, 0), *((int(r["step"]), int(r["updates"])) for r in read_rows(optimizer))]
    known = np.array(measured, dtype=np.float64).T
    return {
        "environment_steps": steps + spent[np.searchsorted(at, steps, side="right")],
        "updates": np.interp(steps, *known),
        "solved": np.array([solved for _, solved, _ in curve], dtype=np.float64),
    }


def curves_of(study: Study) -> dict[str, dict[str, Any]]:
    """Return each arm's share solved along both axes: mean and 95 % ends at common points."""
    stored, curves = study.results(), study.curves()
    runs: dict[str, list[dict[str, FloatArray]]] = {}
    for cell in study.cells:
        if stored[cell.key].state == "done":
            found = axes_of(stored[cell.key].folder, curves[cell.key])
            runs.setdefault(cell.arm, []).append(found)
    return {arm: {axis: _band(found, axis) for axis in AXES} for arm, found in runs.items()}


def _band(runs: Sequence[Mapping[str, FloatArray]], axis: str) -> dict[str, list[Any]]:
    end = min(float(run[axis][-1]) for run in runs)
    points = np.linspace(0.0, end, POINTS)
    solved = [np.interp(points, run[axis], run["solved"]) for run in runs]
    mean, *ends = t_band(solved)
    # One run has no interval, and JSON no NaN.
    low, high = ([x if np.isfinite(x) else None for x in end.tolist()] for end in ends)
    return {"points": points.tolist(), "mean": mean.tolist(), "low": low, "high": high}


def at_equal_updates(curves: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return each arm's mean share solved, over the updates that all arms have made."""
    end = min(arm["updates"]["points"][-1] for arm in curves.values())
    points = np.linspace(0.0, end, POINTS)
    return {
        label: float(np.interp(points, arm["updates"]["points"], arm["updates"]["mean"]).mean())
        for label, arm in curves.items()
    }


def beside_one(panels: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return PAIRED's protagonist less the single student on random mazes; a description."""
    paired, one = (
        list(panels[panel]["arms"][arm]["values"].values()) if panel in panels else []
        for panel, arm in (("pair", "paired"), ("levels", "random"))
    )
    if min(len(paired), len(one)) < 2:
        return None
    found = difference_if_offered(paired, one, np.random.default_rng(0), "share")
    ends = (found.low, found.high) if found.known else (None, None)
    return {"estimate": found.estimate, "low": ends[0], "high": ends[1], "method": found.method}


def gate(panels: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return whether random levels are neither too hard nor too easy, and the curriculum helps."""
    arms = panels["levels"]["arms"] if "levels" in panels else {}
    means = {label: arms[label]["mean"] for label in ("random", "window") if label in arms}
    if means.get("random") is None:
        return None
    low, high = GATE
    verdict = arms.get("window", {}).get("verdict")
    return {**means, "within": low <= means["random"] <= high, "window_verdict": verdict}


def axes(studies: Sequence[Study], panels: dict[str, Any], out: Path) -> dict[str, Any]:
    """Return what this experiment adds to its panels, and draw both axes."""
    curves = {
        f"{study.spec.name} {arm}": found
        for study in studies
        for arm, found in curves_of(study).items()
    }
    if not curves:
        return {}
    planned = all(study.spec.plan is not None for study in studies)
    draw(curves, "" if planned else ": illustration, no verdict", out / "maze.png")
    return {
        "gate": gate(panels), "curves": curves, "at_equal_updates": at_equal_updates(curves),
        "paired_beside_one": beside_one(panels),
    }  # fmt: skip


def draw(curves: Mapping[str, Mapping[str, Any]], note: str, path: Path) -> None:
    """Plot the share of the hand-made mazes solved along both axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (axis, title) in zip(figure.subplots(1, 2, sharey=True), AXES.items(), strict=True):
        for name, arm in curves.items():
            panel, _, label = name.partition(" ")
            band, dashed = arm[axis], panel == "pair"
            colour = COLOURS[label]
            place.plot(
                band["points"], band["mean"], color=colour, linestyle="--" if dashed else "-",
                label=f"{label} (pair)" if dashed else label,
            )  # fmt: skip
            low, high = (np.array(band[end], dtype=np.float64) for end in ("low", "high"))
            place.fill_between(band["points"], low, high, color=colour, alpha=0.1, linewidth=0)
        place.set(xlabel=title, ylim=(0.0, 1.0))
        place.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("share of the hand-made mazes solved")
    figure.axes[0].legend(frameon=False, fontsize="small", ncols=2)
    figure.suptitle(f"Grid Maze, mean and 95 % interval over seeds{note}")
    figure.savefig(path, dpi=150, metadata={"Software": None})


def readme_rows(panels: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the README's rows, one a panel; none before all planned runs are there."""
    if len(panels) < 2 or not all(panel["complete"] for panel in panels.values()):
        return []
    whats = {
        "levels": "Grid Maze, PPO: per cent of hand-made mazes solved, over the run",
        "pair": "the same, PAIRED's protagonist (a budget of both learners)",
    }
    return [
        {
            "what": what,
            "figure": "; ".join(_figure(name, arm) for name, arm in panels[key]["arms"].items()),
        }
        for key, what in whats.items()
    ]


def _figure(label: str, arm: Mapping[str, Any]) -> str:
    text = f"{label} {100 * arm['mean']:.0f}"
    if arm["difference"] is None:
        return f"{text} ({arm['seeds']} seeds)"
    ends = f"[{100 * arm['difference.low']:+.0f}, {100 * arm['difference.high']:+.0f}]"
    return f"{text}, {100 * arm['difference']:+.0f} {ends}: {arm['verdict']}"


def main() -> None:
    """Run what is missing, and sum up."""
    parser = parser_of(__doc__)
    parser.add_argument("--short", action="store_true", help="few steps, 2 seeds: no verdict")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    run("maze", parser, SHORT, readme_rows, axes)


if __name__ == "__main__":
    main()

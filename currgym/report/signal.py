"""Does the signal know? A teacher's score of a task against the gain of training on it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from currgym.report.colours import CYCLE, GAIN_RAMP, tint
from currgym.report.files import read_json
from currgym.report.plotting import (
    BOXED,
    INK,
    RULE,
    Chart,
    Spec,
    State,
    axis_spec,
    layout_of,
    plain,
    scale,
)  # fmt: skip
from currgym.report.text import number, steps_text

__all__ = [
    "Fork", "Signal", "Transfer", "correlation_chart", "read_signal", "scatter_chart",
    "transfer_chart", "transfers",
]  # fmt: skip

FloatArray = NDArray[np.float64]

FILE = "signal.json"
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "pentagon")


@dataclass(frozen=True)
class Fork:
    """One checkpoint from which training was forked on every task.

    Attributes:
        step: Of the checkpoint.
        seed: Of the run.
        gain: ``(m,)`` gain over the whole test set of training a little on each task.
        gain_se: ``(m,)`` its standard error.
        scores: Name -> ``(m,)`` what a signal said of each task there.
        ceiling: Largest rank correlation that a perfect signal would show, noise of the gain
            allowed for; None where unknown.
        transfer: ``(m, m)`` gain on each task (column) of training on each (row); None where it was
            not kept.
    """

    step: int
    seed: int
    gain: FloatArray
    gain_se: FloatArray
    scores: Mapping[str, FloatArray]
    ceiling: float | None
    transfer: FloatArray | None = None

    def correlation(self, name: str) -> float:
        """Return the rank correlation of a signal with the gain; NaN where one is constant."""
        score = self.scores.get(name)
        if score is None:
            return np.nan
        known = np.isfinite(score) & np.isfinite(self.gain)
        a, b = score[known], self.gain[known]
        if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
            return np.nan
        return float(stats.spearmanr(a, b).statistic)


@dataclass(frozen=True)
class Signal:
    """What ``signal.json`` holds."""

    env: str
    student: str
    names: tuple[str, ...]
    tasks: FloatArray
    forks: tuple[Fork, ...]

    @cached_property
    def scores(self) -> tuple[str, ...]:
        """Names of all signals, in the order of the file."""
        return tuple(dict.fromkeys(name for fork in self.forks for name in fork.scores))

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """Steps of the checkpoints, ascending."""
        return tuple(sorted({fork.step for fork in self.forks}))

    def over_time(self, name: str) -> FloatArray:
        """Return the mean rank correlation over seeds at each step, NaN where unknown."""
        return np.array([_mean([f.correlation(name) for f in self.at(s)]) for s in self.steps])

    def ceiling(self) -> FloatArray:
        """Return the mean noise ceiling at each step, NaN where unknown."""
        return np.array(
            [_mean([np.nan if f.ceiling is None else f.ceiling for f in self.at(s)])
             for s in self.steps]
        )  # fmt: skip

    def at(self, step: int) -> list[Fork]:
        """Return the forks of a step, one a seed."""
        return [fork for fork in self.forks if fork.step == step]


def _mean(values: list[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def read_signal(folder: Path) -> Signal | None:
    """Return a study's ``signal.json``, or None where there is none.

    Raises:
        ValueError: If it is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    document = read_json(path)
    try:
        tasks = np.asarray(document["tasks"], dtype=np.float64)
        tasks = tasks.reshape(len(tasks), -1)
        forks = tuple(_fork(entry, len(tasks)) for entry in document["checkpoints"])
        return Signal(
            str(document.get("env", "")), str(document.get("student", "")),
            tuple(str(n) for n in document["names"]), tasks, forks,
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def _fork(entry: Mapping[str, Any], tasks: int) -> Fork:
    def column(values: Any) -> FloatArray:
        found = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        if found.shape != (tasks,):
            raise ValueError(f"a column holds {found.shape} values for {tasks} tasks")
        return found

    ceiling, transfer = entry.get("ceiling"), entry.get("transfer")
    if transfer is not None:
        if len(transfer) != tasks:
            raise ValueError(f"transfer has {len(transfer)} rows for {tasks} tasks")
        transfer = np.array([column(row) for row in transfer])
    return Fork(
        int(entry["step"]), int(entry["seed"]), column(entry["gain"]), column(entry["gain_se"]),
        {str(name): column(values) for name, values in entry["scores"].items()},
        None if ceiling is None else float(ceiling), transfer,
    )  # fmt: skip


def scatter_chart(signal: Signal) -> Chart:
    """Return score against gain, one state a signal, a mark for each task, seed and checkpoint."""
    states = []
    for name in signal.scores:
        traces: list[Spec] = []
        for i, step in enumerate(signal.steps):
            forks = [f for f in signal.at(step) if name in f.scores]
            if not forks:
                continue
            x = np.concatenate([f.scores[name] for f in forks])
            y = np.concatenate([f.gain for f in forks])
            error = np.concatenate([f.gain_se for f in forks])
            share = i / max(len(signal.steps) - 1, 1)
            colour = _late(share)
            tasks = [_task(signal, row) for _ in forks for row in signal.tasks.tolist()]
            traces.append(
                {
                    "type": "scatter", "mode": "markers", "x": plain(x), "y": plain(y),
                    "name": f"after {steps_text(step)}", "text": tasks,
                    "error_y": {
                        "type": "data", "array": plain(error), "thickness": 0.8, "width": 0,
                        "color": tint(colour, 0.35),
                    },
                    "marker": {
                        "size": 7, "color": colour, "symbol": _SYMBOLS[i % len(_SYMBOLS)],
                        "line": {"width": 0.5, "color": "#FFFFFF"},
                    },
                    "hovertemplate": f"%{{text}}<br>after {steps_text(step)} steps<br>"
                    "score %{x}, gain %{y}<extra></extra>",
                }
            )  # fmt: skip
        layout = layout_of(
            xaxis=axis_spec({"title": {"text": html.escape(name)}, "gridcolor": RULE}),
            yaxis=axis_spec(
                {"title": {"text": "gain of training there"}, "gridcolor": RULE, "zeroline": True,
                 "zerolinecolor": "#999999"}
            ),
            margin={"l": 62, "r": 14, "t": 24, "b": 44},
            showlegend=True,
            legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0,
                    "font": {"size": 11}},
        )  # fmt: skip
        states.append(State(name, traces, layout))
    return Chart(tuple(states), 340, "The score of a task against the gain of training on it.")


def _late(share: float) -> str:
    """Return a colour that darkens with time, told apart by lightness."""
    light, dark = (0x9C, 0xC5, 0xE0), (0x00, 0x1B, 0x33)
    mixed = [round(a + share * (b - a)) for a, b in zip(light, dark, strict=True)]
    return "#" + "".join(f"{v:02X}" for v in mixed)


def _task(signal: Signal, row: list[float]) -> str:
    pairs = zip(signal.names, row, strict=False)
    return "<br>".join(f"{html.escape(name)}: {number(value)}" for name, value in pairs)


def correlation_chart(signal: Signal) -> Chart:
    """Return each signal's rank correlation with the gain over time, with the noise ceiling."""
    traces: list[Spec] = []
    steps = list(signal.steps)
    ceiling = signal.ceiling()
    if np.isfinite(ceiling).any():
        traces.append(
            {
                "type": "scatter", "mode": "lines", "x": steps, "y": plain(ceiling),
                "name": "noise ceiling", "line": {"color": INK, "width": 2, "dash": "dash"},
                "hovertemplate": "noise ceiling: %{y:.2f}<extra></extra>",
            }
        )  # fmt: skip
    for i, name in enumerate(signal.scores):
        colour = CYCLE[i % len(CYCLE)]
        label = html.escape(name)
        traces.append(
            {
                "type": "scatter", "mode": "lines+markers", "x": steps,
                "y": plain(signal.over_time(name)), "name": label, "legendgroup": label,
                "line": {"color": colour, "width": 2.2},
                "marker": {"size": 8, "symbol": _SYMBOLS[i % len(_SYMBOLS)]},
                "hovertemplate": f"{label}: %{{y:.2f}}<extra></extra>",
            }
        )  # fmt: skip
        xs = [f.step for f in signal.forks]
        ys = [f.correlation(name) for f in signal.forks]
        traces.append(
            {
                "type": "scatter", "mode": "markers", "x": xs, "y": plain(ys), "hoverinfo": "skip",
                "marker": {"size": 5, "color": tint(colour, 0.3)}, "showlegend": False,
                "legendgroup": label,
            }
        )  # fmt: skip
    layout = layout_of(
        xaxis=axis_spec(
            {"title": {"text": "environment steps"}, "rangemode": "tozero", "showgrid": False,
             "nticks": 6}
        ),
        yaxis=axis_spec(
            {"title": {"text": "rank correlation with the gain"}, "range": [-1.05, 1.05],
             "gridcolor": RULE, "zeroline": True, "zerolinecolor": "#999999"}
        ),
        margin={"l": 62, "r": 14, "t": 24, "b": 44},
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
    )  # fmt: skip
    says = "Rank correlation of each signal with the gain, over training."
    return Chart((State("", traces, layout),), 340, says)


@dataclass(frozen=True)
class Transfer:
    """What training on one task did for another, at one checkpoint or over all.

    Attributes:
        name: Which.
        gain: ``(m, m)`` mean gain on each task (column) of training on each (row); NaN where not
            measured.
        top: Size of a gain at the ends of the colours, the same for all.
    """

    name: str
    gain: FloatArray
    top: float

    @property
    def own(self) -> float:
        """Mean gain on the task that was trained."""
        return _mean(np.diag(self.gain).tolist())

    @property
    def others(self) -> float:
        """Mean gain on other tasks."""
        return _mean(self.gain[~np.eye(len(self.gain), dtype=np.bool_)].tolist())


def transfers(signal: Signal) -> list[Transfer]:
    """Return the transfer over all checkpoints, then at each, mean over seeds; empty without any.

    A task that is not better off anywhere is seen as a row of the colour of losses, one that gains
    whatever is trained as a column of the other.
    """
    known = [f for f in signal.forks if f.transfer is not None and np.isfinite(f.transfer).any()]
    if not known:
        return []
    groups = {f"after {steps_text(s)}": [f for f in known if f.step == s] for s in signal.steps}
    groups = {name: forks for name, forks in groups.items() if forks}
    if len(groups) > 1:
        groups = {"all checkpoints": known, **groups}
    found = {name: _mean_table([f.transfer for f in forks]) for name, forks in groups.items()}
    sizes = np.abs(np.concatenate([gain.ravel() for gain in found.values()]))
    # The few largest saturate: one lucky fork would make all else pale.
    top = float(np.quantile(sizes[np.isfinite(sizes)], 0.98)) or 1.0
    return [Transfer(name, gain, top) for name, gain in found.items()]


def _mean_table(tables: list[FloatArray | None]) -> FloatArray:
    stack = np.array([t for t in tables if t is not None])
    known = np.isfinite(stack)
    sums, counts = np.where(known, stack, 0.0).sum(axis=0), known.sum(axis=0)
    means = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def task_names(signal: Signal) -> list[str]:
    """Return the tasks in short, their numbers in the order of the names."""
    return [", ".join(number(value, 2) for value in row) for row in signal.tasks.tolist()]


def transfer_chart(signal: Signal) -> Chart | None:
    """Return what training on each task did for each, one state a checkpoint; None without any."""
    found = transfers(signal)
    if not found:
        return None
    names, places = task_names(signal), list(range(len(signal.tasks)))
    # Of many tasks every second, third ... is named, so that names do not run into each other.
    named = places[:: -(-len(places) // 32)]
    told = [_task(signal, row).replace("<br>", ", ") for row in signal.tasks.tolist()]
    axis: Spec = {
        **BOXED, "tickvals": named, "ticktext": [names[i] for i in named], "ticklen": 2,
        "tickfont": {"size": 9}, "constrain": "domain",
    }  # fmt: skip
    states = []
    for one in found:
        texts = [
            [
                f"trained on {told[i]}<br>tested on {told[j]}<br>gain {number(gain)}"
                for j, gain in enumerate(row)
            ]
            for i, row in enumerate(one.gain.tolist())
        ]
        trace = {
            "type": "heatmap", "x": places, "y": places, "z": [plain(row) for row in one.gain],
            "zmin": -one.top, "zmax": one.top, "colorscale": scale(GAIN_RAMP), "xgap": 1, "ygap": 1,
            "text": texts, "hoverinfo": "text",
            "colorbar": {
                "title": {"text": "gain", "side": "right"}, "thickness": 10, "outlinewidth": 0,
                "tickfont": {"size": 10}, "nticks": 5,
            },
        }  # fmt: skip
        layout = layout_of(
            xaxis=axis_spec(
                {**axis, "title": {"text": "gain on", "standoff": 6}, "tickangle": -90}
            ),
            yaxis=axis_spec(
                {**axis, "title": {"text": "trained on", "standoff": 6}, "autorange": "reversed"}
            ),
            margin={"l": 78, "r": 8, "t": 8, "b": 84},
        )  # fmt: skip
        about = (
            f"mean gain on the task that was trained {number(one.own)}, on others "
            f"{number(one.others)}"
        )
        states.append(State(one.name, [trace], layout, about))
    says = "Gain on each task of training on each: a map of tasks trained against tasks tested."
    return Chart(tuple(states), 460, says)

"""What a teacher had in mind at one time, from its snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from currgym.report.accounts import CHANCES, KEPT, panels_of, worth_of
from currgym.report.data import FloatArray, Run, Snapshot
from currgym.report.maps import View
from currgym.report.text import number
from currgym.tasks import DiscreteTasks

__all__ = ["ELLIPSE_SDS", "StripModel", "TeacherModel", "strip_model", "teacher_model", "told"]

ELLIPSE_SDS = 2.0
MOST_REGIONS = 400
STRIP_TIMES = 24
STRIP_PIECES = 3
_SAMPLES = 128
_PREVIEW_QUANTILES = (0.1, 0.5, 0.9)
_PIECE_QUANTILES = (0.16, 0.5, 0.84)
MOST_KEPT = 200
# Beside what is drawn: the attempts that a mixture was fitted to, which the steps show anyway.
_DRAWN = frozenset({"means", "covariances", "low", "high", "corners", "rows", "successes", *KEPT})


@dataclass(frozen=True)
class TeacherModel:
    """A teacher's snapshot in plot coordinates.

    Attributes:
        step: When.
        outlines: Closed curves ``(k, 2)``: Gaussians at two standard deviations, or boxes.
        strengths: How likely each is to be drawn, the largest being 1.
        preview: ``(n, axes)`` tasks it would have proposed.
        spans: ``(k, 3)`` along a single axis: ends of a Gaussian (two standard deviations) or box,
            and its strength.
        kept: ``(m, axes)`` tasks that it keeps, the likeliest 200: levels, particles, a target.
        worth: ``(m,)`` how likely each of those is to be drawn, or what it is kept for, the largest
            being 1; ones where nothing says.
        worth_by: Which entry of the snapshot says so; empty where nothing does.
        solved: ``(s, axes)`` tasks that it remembers as solved.
    """

    step: int
    outlines: tuple[FloatArray, ...]
    strengths: tuple[float, ...]
    spans: FloatArray
    preview: FloatArray
    kept: FloatArray
    worth: FloatArray
    worth_by: str
    solved: FloatArray


@dataclass(frozen=True)
class StripModel:
    """A teacher's model along one axis over time.

    Attributes:
        steps: ``(k,)`` times of snapshots.
        preview: ``(k, 3)`` 10 %, 50 % and 90 % quantiles of the tasks it would have proposed.
        pieces: Of its Gaussians or boxes the likeliest few at each time: ``(p, 5)`` rows of time,
            16 %, 50 % and 84 % quantiles, and how likely it is, the likeliest of its time being 1.
    """

    steps: FloatArray
    preview: FloatArray
    pieces: FloatArray


def strip_model(run: Run, view: View) -> StripModel:
    """Return a run's snapshots along the view's only axis, at most so many of them."""
    shown = run.snapshots
    if len(shown) > STRIP_TIMES:
        chosen = np.linspace(0, len(shown) - 1, STRIP_TIMES).round().astype(int)
        shown = tuple(shown[i] for i in chosen)
    steps, preview, pieces = [], [], []
    for snapshot in shown:
        if len(snapshot.preview) == 0:
            continue
        steps.append(float(snapshot.step))
        preview.append(np.quantile(view.place(snapshot.preview)[:, 0], _PREVIEW_QUANTILES))
        found = _samples(snapshot, view)
        for strength, places in sorted(found, key=lambda piece: -piece[0])[:STRIP_PIECES]:
            quantiles = np.quantile(places, _PIECE_QUANTILES)
            pieces.append([float(snapshot.step), *quantiles.tolist(), strength])
    return StripModel(
        np.array(steps), np.reshape(preview, (-1, 3)), np.reshape(pieces, (-1, 5))
    )  # fmt: skip


def _samples(snapshot: Snapshot, view: View) -> list[tuple[float, FloatArray]]:
    """Return how likely each Gaussian or box is, and where on the axis its tasks lie."""
    dims = view.space.unit_dim
    rng = np.random.default_rng(0)
    found: list[FloatArray] = []
    gaussians, boxes = _gaussians(snapshot, dims), _boxes(snapshot, dims)
    if gaussians is not None:
        means, covariances, weights = gaussians
        for mean, covariance in zip(means[:, :dims], covariances[:, :dims, :dims], strict=True):
            found.append(rng.multivariate_normal(mean, covariance, _SAMPLES, check_valid="ignore"))
    elif boxes is not None and len(boxes[0]) <= STRIP_TIMES:
        lows, highs, weights = boxes
        for low, high in zip(lows, highs, strict=True):
            found.append(low + (high - low) * rng.random((_SAMPLES, dims)))
    else:
        return []
    likely = weights / max(float(weights.max()), 1e-12)
    tasks = [view.space.from_unit(np.clip(unit, 0.0, 1.0)) for unit in found]
    places = [view.place(np.asarray(t, dtype=np.float64).reshape(len(t), -1)) for t in tasks]
    return [(float(s), p[:, 0]) for s, p in zip(likely, places, strict=True)]


def told(snapshot: Snapshot) -> str:
    """Return what a snapshot says beside its shapes, in short: its numbers and words."""
    parts = []
    drawn = _DRAWN.union(*(panel.entries for panel in panels_of(snapshot.values)))
    for name, value in snapshot.values.items():
        if name in drawn:
            continue
        label = name.replace("_", " ")
        if isinstance(value, (bool, str)):
            parts.append(f"{label} {value}")
        elif isinstance(value, (int, float)):
            parts.append(f"{label} {number(float(value))}")
        elif isinstance(value, np.ndarray):
            if value.size == 0 or not np.isfinite(value).any():
                continue
            if value.ndim == 1 and value.size <= 6:
                parts.append(f"{label} ({', '.join(number(float(v)) for v in value)})")
            else:
                low, high = float(np.nanmin(value)), float(np.nanmax(value))
                parts.append(f"{label} {number(low)} to {number(high)}")
    return " · ".join(parts)


def teacher_model(snapshot: Snapshot, view: View) -> TeacherModel:
    """Return a teacher's snapshot in plot coordinates.

    Drawn are ``means`` and ``covariances`` (Gaussians in the unit cube; further columns, such as
    ALP-GMM's learning progress, are left out of the outline), or ``low`` and ``high`` (a window, or
    regions), as likely as ``chances``, ``probability`` or ``weights`` say; tasks that it keeps
    (``tasks``, ``levels``, ``target``) and their worth; and in any case the tasks it would have
    proposed.
    """
    dims = view.space.unit_dim
    preview = snapshot.preview
    known = len(preview) and preview.shape[1] >= 1
    places = view.place(preview) if known else np.empty((0, len(view.axes)))
    columns = [axis.unit_column for axis in view.axes]
    outlines: list[FloatArray] = []
    strengths: list[float] = []
    spans: FloatArray = np.empty((0, 3))
    if None not in columns:
        units = [c for c in columns if c is not None]
        gaussians, boxes = _gaussians(snapshot, dims), _boxes(snapshot, dims)
        likely = np.empty(0)
        if gaussians is not None:
            means, covariances, weights = gaussians
            likely = _relative(weights)
            if view.plane:
                for mean, covariance in zip(means, covariances, strict=True):
                    ring = _ellipse(mean[units], covariance[np.ix_(units, units)])
                    outlines.append(_to_plot(ring, view))
            else:
                wide = ELLIPSE_SDS * np.sqrt(covariances[:, units[0], units[0]])
                middle = means[:, units[0]]
                spans = _spans(middle - wide, middle + wide, likely, view)
        elif boxes is not None:
            lows, highs, weights = boxes
            likely = _relative(weights)
            if view.plane:
                for low, high in zip(lows[:, units], highs[:, units], strict=True):
                    corners = [low, [high[0], low[1]], high, [low[0], high[1]], low]
                    outlines.append(_to_plot(np.array(corners, dtype=np.float64), view))
            else:
                spans = _spans(lows[:, units[0]], highs[:, units[0]], likely, view)
        strengths = likely.tolist() if outlines else []
    elif not view.plane:
        spans = _between(snapshot)
    kept, worth, worth_by = _kept(snapshot, view)
    solved = _tasks_in(snapshot.values.get("successes"), view)
    return TeacherModel(
        snapshot.step, tuple(outlines), tuple(strengths), spans, places, kept, worth, worth_by,
        solved,
    )  # fmt: skip


def _relative(values: FloatArray) -> FloatArray:
    """Return values from 0 up as shares of the largest."""
    return np.asarray(values / max(float(values.max()), 1e-12))


def _spans(low: FloatArray, high: FloatArray, likely: FloatArray, view: View) -> FloatArray:
    ends = [view.axes[0].from_unit(np.clip(end, 0.0, 1.0)) for end in (low, high)]
    return np.stack([*ends, likely], axis=1)


def _between(snapshot: Snapshot) -> FloatArray:
    """Return a window over levels, whose ``corners`` are difficulties already."""
    corners = snapshot.values.get("corners")
    if not isinstance(corners, np.ndarray) or corners.shape != (2,):
        return np.empty((0, 3))
    return np.array([[*corners, 1.0]])


def _kept(snapshot: Snapshot, view: View) -> tuple[FloatArray, FloatArray, str]:
    """Return the tasks that a teacher keeps, what each is worth, and by which entry that is known.

    Numbered tasks may be all of them, in order.
    """
    values = snapshot.values
    for name in KEPT:
        rows = values.get(name)
        if not isinstance(rows, np.ndarray) or not rows.size:
            continue
        worth = worth_of(values, len(rows))
        found = _tasks_in(rows, view)
        if len(found):
            return _likeliest(found, worth)
    if isinstance(view.space, DiscreteTasks):
        worth = worth_of(values, view.space.n)
        if worth is not None:
            return _likeliest(view.place(np.arange(view.space.n, dtype=np.float64)[:, None]), worth)
    return np.empty((0, len(view.axes))), np.empty(0), ""


def _likeliest(
    places: FloatArray, worth: tuple[str, FloatArray] | None
) -> tuple[FloatArray, FloatArray, str]:
    if worth is None:
        return places[:MOST_KEPT], np.ones(min(len(places), MOST_KEPT)), ""
    name, values = worth
    values = np.nan_to_num(np.abs(values))
    first = np.argsort(-values, kind="stable")[:MOST_KEPT]
    return places[first], _relative(values[first]), name


def _tasks_in(rows: Any, view: View) -> FloatArray:
    """Return places of rows that are tasks of the space; none where they are something else."""
    if isinstance(rows, np.ndarray) and rows.size:
        tasks = rows.reshape(len(rows), -1)
        space = view.space
        if tasks.shape[1] == len(space.names) and space.contains(space.from_rows(tasks)).all():
            return view.place(tasks)
    return np.empty((0, len(view.axes)))


def _gaussians(snapshot: Snapshot, dims: int) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    means, covariances = snapshot.values.get("means"), snapshot.values.get("covariances")
    if not isinstance(means, np.ndarray) or not isinstance(covariances, np.ndarray):
        return None
    if means.ndim == 1:
        means, covariances = means[None], covariances[None]
    if covariances.shape == means.shape:
        covariances = np.array([np.diag(v) for v in covariances])
    wanted = (*means.shape, means.shape[-1])
    if means.ndim != 2 or means.shape[1] < dims or covariances.shape != wanted or not len(means):
        return None
    weights = _chances(snapshot, len(means))
    if weights is None:
        # A column beyond the task's is the teacher's utility, in proportion to which it draws.
        extra = means.shape[1] > dims
        weights = np.maximum(means[:, -1], 0.0) if extra else np.ones(len(means))
    return means, covariances, weights


def _boxes(snapshot: Snapshot, dims: int) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Return lower and upper corners and the relative density of a window or of regions."""
    low, high = snapshot.values.get("low"), snapshot.values.get("high")
    if not isinstance(low, np.ndarray) or not isinstance(high, np.ndarray):
        return None
    low, high = np.atleast_2d(low), np.atleast_2d(high)
    if low.shape != high.shape or low.shape[1:] != (dims,) or not 0 < len(low) <= MOST_REGIONS:
        return None
    weights = _chances(snapshot, len(low))
    if weights is None:
        return low, high, np.ones(len(low))
    return low, high, weights / np.maximum(np.prod(high - low, axis=1), 1e-12)


def _chances(snapshot: Snapshot, n: int) -> FloatArray | None:
    """Return how likely each of ``n`` pieces is to be drawn from, where the snapshot says so."""
    for name in CHANCES:
        found = snapshot.values.get(name)
        if isinstance(found, np.ndarray) and found.shape == (n,):
            return np.maximum(found, 0.0)
    return None


def _ellipse(mean: FloatArray, covariance: FloatArray, points: int = 48) -> FloatArray:
    """Return points on the ellipse at two standard deviations, ``(points + 1, 2)``."""
    values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.T))
    angle = np.linspace(0.0, 2.0 * np.pi, points + 1)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    radii = ELLIPSE_SDS * np.sqrt(np.maximum(values, 0.0))
    ring: FloatArray = (mean[:, None] + vectors @ (radii[:, None] * circle)).T
    return ring


def _to_plot(unit: FloatArray, view: View) -> FloatArray:
    return np.stack([axis.from_unit(unit[:, i]) for i, axis in enumerate(view.axes)], axis=1)

"""Charts of what a teacher keeps in mind, by what its snapshot holds and not by who it is.

Each form looks for entries that it can draw and returns panels of them; what one form has drawn,
the next ones do not see. Whatever no form draws is told in words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHANCES", "KEPT", "MOST_PANELS", "Panel", "panels_of", "worth_of"]

FloatArray = NDArray[np.float64]
Entries = Mapping[str, Any]

CHANCES = ("chances", "probability", "weights")
"""Entries that say how likely each of several things is to be drawn, the first found counts."""
KEPT = ("tasks", "levels", "target")
"""Entries that list tasks of the space."""
MOST_PANELS = 3
_MOST_BARS = 60
_MOST_SHORT = 40
_CHOSEN_BY = (
    "scores", "learnability", "disagreement", "alp", "rise", "progress", "slope", "q", "success",
    "expected_length", "last", "rates", "judged", "success_values",
)  # fmt: skip
"""What chances come from, where several entries belong to the same things: this one goes first."""


@dataclass(frozen=True)
class Panel:
    """One small chart of a snapshot.

    Attributes:
        title: What is drawn.
        values: Heights ``(k,)``; NaN where nothing is known.
        places: Of the values along the panel, ``(k,)``, ascending.
        labels: Words under the values; empty for numbers.
        marked: Which value holds at present.
        lines: Thresholds and their names.
        curve: Whether values are joined by a line; else they are bars.
        log: Whether the places are drawn on a logarithmic scale.
        entries: Of the snapshot, that are drawn here.
    """

    title: str
    values: FloatArray
    places: FloatArray
    labels: tuple[str, ...] = ()
    marked: int | None = None
    lines: tuple[tuple[float, str], ...] = ()
    curve: bool = False
    log: bool = False
    entries: frozenset[str] = frozenset()


Form = Callable[[Entries], Sequence[Panel]]
FORMS: list[Form] = []
"""Every form, the ones that know more about what they draw first."""


def _form(make: Form) -> Form:
    FORMS.append(make)
    return make


def panels_of(entries: Entries) -> list[Panel]:
    """Return the panels of a snapshot's entries, at most :data:`MOST_PANELS`."""
    found: list[Panel] = []
    left = dict(entries)
    for make in FORMS:
        for panel in make(left)[: MOST_PANELS - len(found)]:
            found.append(panel)
            left = {name: value for name, value in left.items() if name not in panel.entries}
    return found


def worth_of(entries: Entries, n: int) -> tuple[str, FloatArray] | None:
    """Return by which entry ``n`` kept things differ, and its values, if there is any."""
    for name in (*CHANCES, *_CHOSEN_BY):
        values = entries.get(name)
        if isinstance(values, np.ndarray) and values.shape == (n,) and np.isfinite(values).any():
            return name, values
    return None


_WORDS = {
    "alp": "absolute learning progress",
    "attempts": "attempts (older ones fade)",
    "deciles": "share of the running pass, by decile of difficulty",
    "fast": "success of late",
    "first_choice": "chances of the designer's first choice",
    "grown": "moves outward of each face, lower ones first",
    "last": "latest value",
    "q": "mean absolute advantage Q",
    "queued": "results in of each face, lower ones first",
    "rise": "covariance of time and return",
    "shrunk": "moves inward of each face, lower ones first",
    "sizes": "size",
    "slow": "success before",
    "success": "expected success",
}


def _said(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " "))


@_form
def _gates(entries: Entries) -> list[Panel]:
    """Stages with their means, between the thresholds at which they change."""
    means, stage = entries.get("stage_means"), entries.get("stage")
    if not isinstance(means, np.ndarray) or stage is None:
        return []
    lines = tuple(
        (float(entries[name]), name) for name in ("promote", "demote") if entries.get(name)
    )
    of = f"stage {int(stage) + 1} of {len(means)}"
    name = entries.get("stage_name")
    return [
        Panel(
            f"mean of each stage; now {of}" + (f" ({name})" if name else ""),
            means, np.arange(1.0, len(means) + 1.0), marked=int(stage), lines=lines,
            entries=frozenset(
                {"stage_means", "stage", "stages", "stage_name", "promote", "demote"}
            ),
        )
    ]  # fmt: skip


@_form
def _teachers(entries: Entries) -> list[Panel]:
    """Teachers that may be followed, and how likely each is."""
    chances, names = entries.get("teacher_chances"), entries.get("teachers")
    if not isinstance(chances, np.ndarray) or not isinstance(names, str):
        return []
    labels = tuple(name.strip() for name in names.split(","))
    if len(labels) != len(chances):
        return []
    places = np.arange(1.0, len(labels) + 1.0)
    followed = entries.get("followed")
    marked = labels.index(followed) if followed in labels else None
    drawn = frozenset({"teacher_chances", "teachers", "followed"})
    found = [Panel("chance of each teacher", chances, places, labels, marked, entries=drawn)]
    made = entries.get("proposals")
    if isinstance(made, np.ndarray) and made.shape == chances.shape:
        found.append(
            Panel(
                "proposals so far", made, places, labels, marked, entries=frozenset({"proposals"})
            )
        )
    return found


@_form
def _schedule(entries: Entries) -> list[Panel]:
    """A schedule, and how far along it the teacher is."""
    schedule, time = entries.get("schedule"), entries.get("time")
    if not isinstance(schedule, np.ndarray) or schedule.ndim != 2 or schedule.shape[1] != 2:
        return []
    now = None
    if time is not None:
        ahead = schedule[-1, 0] * min(float(time), 1.0)
        now = int(np.abs(schedule[:, 0] - ahead).argmin())
    end = entries.get("counted_from")
    title = f"share of the space that is open{f', from the {end}' if end else ''}, by proposals"
    return [
        Panel(
            title, schedule[:, 1], schedule[:, 0], marked=now, curve=True,
            entries=frozenset({"schedule", "counted_from"}),
        )
    ]  # fmt: skip


@_form
def _ranking(entries: Entries) -> list[Panel]:
    """Chances of things, ranked, and their scores in the same order; or scores alone, ranked."""
    first = next((n for n in CHANCES if _row(entries.get(n))), None)
    first = first or next((n for n in _CHOSEN_BY if _row(entries.get(n))), None)
    if first is None:
        return []
    values = np.asarray(entries[first], dtype=np.float64)
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    ranks = np.arange(len(order))
    if len(order) > _MOST_BARS:  # of many the first ones matter, so ever fewer of the others
        ranks = np.unique(np.geomspace(1, len(order), _MOST_BARS).round().astype(int)) - 1
    shown, places = order[ranks], (ranks + 1).astype(np.float64)
    what = "likeliest" if first in CHANCES else "highest"
    name = "chance" if first in CHANCES else _said(first)
    title = f"{name} of each of {len(values):,}, the {what} first"
    curve = len(order) > _MOST_BARS
    found = [
        Panel(title, values[shown], places, curve=curve, log=curve, entries=frozenset({first})),
    ]
    others = [n for n in (*_CHOSEN_BY, *entries) if n != first]
    for other in dict.fromkeys(others):
        column = entries.get(other)
        if not isinstance(column, np.ndarray) or column.shape != values.shape:
            continue
        if other in KEPT or other == "successes" or column.dtype.kind not in "fiu":
            continue
        found.append(
            Panel(
                f"{_said(other)}, in that order", column[shown].astype(np.float64), places,
                curve=curve, log=curve, entries=frozenset({other}),
            )
        )  # fmt: skip
    return found


def _row(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and len(value) > 1


@_form
def _sequences(entries: Entries) -> list[Panel]:
    """Whatever else is a short row of numbers, in its own order."""
    return [
        Panel(
            _said(name), value.astype(np.float64), np.arange(1.0, len(value) + 1.0),
            entries=frozenset({name}),
        )
        for name, value in entries.items()
        if _row(value) and len(value) <= _MOST_SHORT and name not in (*KEPT, "low", "high")
        and value.dtype.kind in "fiu" and np.isfinite(value).any()
    ]  # fmt: skip

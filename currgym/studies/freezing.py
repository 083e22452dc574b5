"""Freezing a plan: after it, a change of the plan is visible, and only before any run counts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from currgym.documents import write_whole
from currgym.statistics import TUNING_SEEDS_FROM
from currgym.studies.spec import StudySpec

__all__ = ["freeze", "frozen_hash", "frozen_path", "plan_hash"]


def frozen_path(spec: StudySpec) -> Path:
    """Return where the frozen plan is kept: beside the study file."""
    assert spec.path is not None
    return spec.path.with_suffix(".frozen.json")


def _planned(spec: StudySpec) -> dict[str, Any]:
    """Return all that the verdict rests on: the plan, and what it will be measured on.

    Other arms and further seeds may be added later; they change nothing in here.
    """
    plan = spec.plan
    if plan is None:
        raise ValueError(
            f"{spec.path} has no [plan]: write endpoint, baseline, smallest_effect and n into it"
        )
    arms = {label: asdict(spec.arm(label)) for label in plan.arms}
    panels = []
    for panel in spec.panels:
        base = panel.base.question()
        for name in ("seed", "teacher", "preset", "teacher_parameters"):
            del base[name]
        panels.append({"label": panel.label, **base})
    return {
        "plan": plan.to_json(),
        "arms": arms,
        "panels": panels,
        "seeds": spec.seeds[: plan.n],
    }


def plan_hash(spec: StudySpec) -> str:
    """Return the hash of a study's plan.

    Raises:
        ValueError: If it has none.
    """
    text = json.dumps(_planned(spec), sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()


def freeze(spec: StudySpec, strict: bool = False) -> str:
    """Freeze a study's plan, and return its hash.

    Raises:
        ValueError: If it has no plan, another one is frozen already, no method can carry it out
            (its seeds choose settings; no interval is offered for its shape and n), or a run that
            the plan contrasts with the baseline has results already: a plan written after them is
            none. (The baseline's runs may be there; they are what a new arm is compared with.)
    """
    from currgym.studies.cells import cells_of
    from currgym.studies.store import Store

    digest = plan_hash(spec)
    path = frozen_path(spec)
    if path.exists():
        if frozen_hash(spec) == digest:
            return digest
        raise ValueError(
            f"{path.name} holds another plan, frozen before: put that one back, or plan new runs "
            "(other seeds) in a study file of another name"
        )
    plan = spec.plan
    assert plan is not None
    if max(spec.seeds[: plan.n]) >= TUNING_SEEDS_FROM:
        raise ValueError(
            f"{spec.path}: the plan rests on seeds from {TUNING_SEEDS_FROM} up, which choose "
            "settings: put other seeds first"
        )
    for panel in spec.panels:
        plan.check(panel.base.kind)
    store = Store(spec.store)
    if store.path.exists():
        there = store.runs()
        store.close()
        ended = [
            cell for cell in cells_of(spec, strict)
            if cell.arm in plan.arms[1:] and cell.seed in spec.seeds[: plan.n]
            and cell.key in there and there[cell.key].begun
        ]  # fmt: skip
        if ended:
            raise ValueError(
                f"{len(ended)} of the planned runs have results already (the first: "
                f"{ended[0].arm}, seed {ended[0].seed}): a plan is written before its runs. "
                "Plan other seeds (first_seed = ...)"
            )
    document = {"hash": digest, **_planned(spec)}
    write_whole(path, json.dumps(document, indent=1, sort_keys=True, default=list))
    return digest


def frozen_hash(spec: StudySpec) -> str | None:
    """Return the hash if the plan is frozen as it stands, else None."""
    if spec.plan is None or spec.path is None:
        return None
    try:
        document = json.loads(frozen_path(spec).read_text(encoding="utf-8"))
        known = document["hash"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(known) if known == plan_hash(spec) else None

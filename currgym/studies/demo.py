"""The demonstration: a real student taught by several teachers, then a page to look at."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from currgym.runs.config import RunConfig
from currgym.runs.filming import film_run
from currgym.studies.arms import Arm
from currgym.studies.study import Study

__all__ = ["demo_studies", "run_demo"]

Stage = Callable[[str], None]
Follow = Callable[[Study, int], list[str]]


def demo_studies(out: Path, short: bool = False) -> tuple[Study, Study]:
    """Return the two studies of the demo: PPO on CartPole's physics, and a network on digits.

    Environment, ranges and budget were chosen on seeds 1000 and up (``experiments/demo.py``).
    """
    cartpole = RunConfig(
        env="currgym/CartPole-v0",
        teacher="random",
        student="ppo",
        steps=4_096 if short else 57_344,
        num_envs=16,
        # Gravity up to 600 m/s^2: a fifth of the space is beyond any policy, as tasks often are.
        env_parameters={"tasks": {"gravity": [2, 600]}},
        evaluate_every=1_024 if short else 7_168,
        student_parameters={"n_steps": 128, "batch_size": 256, "n_epochs": 10},
        test_set="grid",
        test_tasks=16 if short else 100,
        test_seeds=1 if short else 3,
        checkpoint_every=20.0,
    )
    arms = [
        Arm("random", "random"),
        Arm("uniform-steps", "uniform-steps"),
        Arm("easy-to-hard", "easy-to-hard"),
        Arm("alp-gmm", "alp-gmm", parameters={"fit_period": 100}),
    ]
    digits = RunConfig(
        env="data/digits",
        teacher="random",
        student="mlp",
        steps=1_280 if short else 12_800,
        env_parameters={"label_noise": 0.2},
        checkpoint_every=20.0,
    )
    examples = [Arm(name, name) for name in ("random", "easy-to-hard", "cyclical")]
    return (
        Study.of(out, cartpole, arms[:: 3 if short else 1], range(1 if short else 3)),
        Study.of(
            out / "supervised", digits, examples[: 2 if short else 3], range(1 if short else 5)
        ),
    )


def run_demo(out: Path, jobs: int, short: bool, stage: Stage, follow: Follow) -> Path:
    """Run both studies (or what is missing of them), film the student, and write the page.

    Args:
        out: Where everything goes; an unfinished demo there is taken up again.
        jobs: Runs at once.
        short: A tiny budget.
        stage: Told what begins.
        follow: Runs a study and shows its progress; returns what failed.

    Raises:
        RuntimeError: If a run failed.
    """
    from currgym.report import write

    # Runs are single-threaded: two of them beat one with two threads on matrices this small.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    reinforcement, supervised = demo_studies(out, short)
    for number, study, what in (
        (1, reinforcement, "PPO on CartPole: pole length and gravity are the task"),
        (2, supervised, "a network on scikit-learn's digits, a fifth of the labels wrong"),
    ):
        stage(f"{number}/4  {what}: {len(study.spec.arms)} teachers, {len(study.cells)} runs")
        study.create()
        failed = follow(study, jobs)
        if failed:
            raise RuntimeError("some runs failed:\n  " + "\n  ".join(failed))
    stage("3/4  filming the student on an easy and a hard task")
    films = _films(out, reinforcement)
    path = out / "study.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["supervised"] = "supervised"
    document["film"] = films
    document["command"] = "currgym demo"
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    stage("4/4  writing the report")
    return write(out)


def _films(out: Path, study: Study) -> list[dict[str, str]]:
    """Film the last arm's first student; return what ``study.json`` lists as its films."""
    label = study.spec.arms[-1].label
    cell = next(cell for cell in study.cells if cell.arm == label)
    return [
        {"title": f"{label}: {path.stem.replace('_', ' ')}", "gif": str(path.relative_to(out))}
        for path in film_run(study.store[cell.key].folder)
    ]

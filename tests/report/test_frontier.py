"""The states of steps, by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from currgym.report.data import Arm, Evaluations, Run, Study
from currgym.report.frontier import frontiers, mastery_strip, thresholds
from currgym.report.maps import strips_of
from currgym.runs.cells import count_episodes
from currgym.tasks import BoxTasks

SPACE = BoxTasks([0], [1], names=["gap"], difficulty="gap")
TESTS = [[0.0], [0.5], [1.0]]


def made(
    seed: int, table: Mapping[int, Sequence[float]], episodes: list[tuple[int, int, float]]
) -> Run:
    """A run of 100 steps: evaluations by step, and (step, length, gap) of each episode."""
    config = {
        "steps": 100, "seed": seed, "task_space": SPACE.config(), "mastery": 0.0,
        "test_set": {"name": "grid", "tasks": TESTS},
    }  # fmt: skip
    run = Run(Path(), config, {"finished": True})
    steps = np.repeat(list(table), len(TESTS)).astype(float)
    successes = np.concatenate(list(table.values()))
    index = np.tile(np.arange(len(TESTS)), len(table))
    vars(run)["evaluations"] = Evaluations(steps, index, successes, successes)
    columns: list[Any] = [np.array(c, float) for c in zip(*episodes, strict=True)]
    vars(run)["cells"] = count_episodes(
        SPACE, 100, np.array(TESTS), columns[0], columns[2][:, None], columns[1],
        np.zeros(len(episodes)), np.ones(len(episodes)),
    )  # fmt: skip
    return run


def study(*runs: Run) -> Study:
    arm = Arm("random", "random", None, {}, (), False, runs)
    return Study(Path(), "rl", "X-v0", "ppo", 100, (0, 1), (arm,), "random")


# The first masters 0 at step 10 and .5 at step 20, after it had mastered a third; 1 nobody does.
FIRST = {0: [0, 0, 0], 10: [1, 0, 0], 20: [1, 1, 0], 100: [1, 1, 0]}
SECOND = {0: [0, 0, 0], 10: [0, 0, 0], 20: [0, 0, 0], 100: [0, 0, 0]}
EPISODES = [(5, 4, 0.1), (6, 1, 0.6), (15, 8, 0.4), (16, 2, 0.9), (90, 30, 0.2), (91, 10, 0.99)]


def test_what_a_study_tells_of_each_task() -> None:
    least, ever = thresholds(study(made(0, FIRST, EPISODES)).runs, 100)
    np.testing.assert_allclose(least, [0.0, 1 / 3, np.inf])
    assert ever.tolist() == [True, True, False]


def test_steps_by_state() -> None:
    found = frontiers(study(made(0, FIRST, EPISODES)))["random"]
    # To 10 steps nothing is mastered: 4 steps near 0 are learnable, 1 near .5 not yet. Then a third
    # is: 8 steps near .5 are learnable, 2 near 1 never. At the end 30 are mastered, 10 never.
    np.testing.assert_allclose(found.total * 55, [30, 12, 1, 12])
    assert found.frontier.estimate == pytest.approx(12 / 55)
    np.testing.assert_allclose(found.shares[1], [0, 0.8, 0.2, 0])
    assert np.isnan(found.shares[10]).all()


def test_learnable_is_judged_by_all_runs() -> None:
    found = frontiers(study(made(0, FIRST, EPISODES), made(1, SECOND, EPISODES)))["random"]
    # The second never masters anything, but the first did from where the second always is: what
    # lies near 0 stays learnable for it, near .5 it is not yet.
    assert found.by_run[1] == pytest.approx((4 + 30) / 55)
    assert found.frontier.n == 2


def test_mastery_over_time_along_the_axis() -> None:
    one = study(made(0, FIRST, EPISODES), made(1, SECOND, EPISODES))
    strip = mastery_strip(one.arms[0], strips_of(one)[0], 100)
    assert strip is not None
    np.testing.assert_allclose(strip.share[:, 0], [0, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(strip.share[:, 2], 0)
    np.testing.assert_allclose(strip.times, [0, 5, 15, 60, 100])

"""The expert's sliding window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from currgym import BoxTasks, DiscreteTasks, Outcomes, Teacher, make_teacher
from currgym.envs.grid_maze import MazeTasks

NAMES = ["stump_height", "obstacle_spacing"]
WEIGHTS = {"stump_height": 1.0, "obstacle_spacing": -0.1}
SPACE = BoxTasks([0, 0], [3, 6], names=NAMES, difficulty=WEIGHTS)


def paper(seed: int = 0) -> Teacher:
    return make_teacher("window", SPACE, seed=seed, preset="corl2019")


def attempts(teacher: Teacher, returns: float, n: int = 50) -> NDArray[np.float64]:
    tasks: NDArray[np.float64] = teacher.sample(n)
    teacher.update(Outcomes(tasks, np.full(n, returns)))
    return tasks


def test_trace_ten_queues_of_the_paper() -> None:
    # Mean of 50 returns above 230 moves height by 0.1 and spacing by -0.2; window 0.5 x 1.0.
    teacher = paper()
    moves = 0
    for mean in (231, 230, 300, 229, 231, 250, 100, 231, 231, -50):
        corner = np.array([0.1 * moves, 5.0 - 0.2 * moves])
        tasks = attempts(teacher, mean)
        assert (tasks >= corner - 1e-6).all()
        assert (tasks <= corner + [0.5, 1.0] + 1e-6).all()
        moves += mean > 230
    assert moves == 6
    low, high = teacher.snapshot()["corners"]
    np.testing.assert_allclose(low, [0.6, 3.8], atol=1e-6)
    np.testing.assert_allclose(high, [1.1, 4.8], atol=1e-6)


def test_profile_traverses_in_1250_episodes() -> None:
    teacher = paper()
    for _ in range(25):
        assert attempts(teacher, 300.0)[:, 0].min() < 2.5
    for _ in range(5):  # clamped at the end
        tasks = attempts(teacher, 300.0, 200)
        assert tasks[:, 0].min() >= 2.5 - 1e-9
        assert tasks[:, 0].max() > 2.98
        assert tasks[:, 1].max() <= 1.0 + 1e-9
    assert teacher.snapshot()["moves"] == 25


def test_profile_stays_where_the_student_fails() -> None:
    teacher = paper()
    for _ in range(40):
        tasks = attempts(teacher, 229.0)
    assert tasks[:, 0].max() <= 0.5
    assert tasks[:, 1].min() >= 5.0


def test_the_queue_is_emptied_either_way() -> None:
    teacher = paper()
    attempts(teacher, 0.0, 49)
    attempts(teacher, 10_000.0, 1)  # mean 200: no move
    attempts(teacher, 231.0, 49)
    assert teacher.snapshot()["moves"] == 0
    attempts(teacher, 231.0, 1)
    assert teacher.snapshot()["moves"] == 1
    assert teacher.snapshot()["queued"] == 0


def test_probes_and_foreign_outcomes_do_not_count() -> None:
    teacher = paper()
    tasks = teacher.sample(100)
    teacher.update(Outcomes(tasks, np.full(100, 300.0), probe=True))
    teacher.update(Outcomes(tasks, np.full(100, 300.0), ids=np.full(100, -1)))
    assert teacher.snapshot()["moves"] == 0
    teacher.update(Outcomes(tasks, np.full(100, 300.0), ids=np.arange(100)))
    assert teacher.snapshot()["moves"] == 2


def test_success_counts_where_it_is_reported_and_scaled_returns_else() -> None:
    for successes, level, moves in [(0.8, 0.75, 1), (0.7, 0.75, 0), (0.7, 0.6, 1)]:
        teacher = make_teacher("window", SPACE, seed=0, return_range=(-150, 350), level=level)
        tasks = teacher.sample(50)
        solved = (np.arange(50) < successes * 50).astype(float)
        teacher.update(Outcomes(tasks, np.full(50, -150.0), successes=solved))
        assert teacher.snapshot()["moves"] == moves
    for returns, moves in [(226.0, 1), (224.0, 0)]:  # 0.75 of [-150, 350] is 225
        teacher = make_teacher("window", SPACE, seed=0, return_range=(-150, 350))
        attempts(teacher, returns)
        assert teacher.snapshot()["moves"] == moves


def test_directions() -> None:
    free = BoxTasks([0, 0], [3, 6], names=NAMES, difficulty="-obstacle_spacing")
    tasks = make_teacher("window", free, seed=0).sample(500)
    assert tasks[:, 0].max() > 2.8  # no direction, no window
    assert tasks[:, 1].min() >= 5.0
    asked = make_teacher("window", BoxTasks([0, 0], [3, 6]), seed=0, directions=[-1, 0])
    assert asked.sample(500)[:, 0].min() >= 2.5
    curved = BoxTasks([-1, 0, 5], [1, 1, 5], difficulty=lambda t: t[:, 0] ** 3 - t[:, 1] ** 2)
    snapshot = make_teacher("window", curved, seed=0).snapshot()
    assert snapshot["directions"].tolist() == [1, -1]
    ranks = make_teacher("window", DiscreteTasks(60, difficulty=np.arange(60)[::-1]), seed=0)
    assert ranks.sample(200).min() >= 50


def test_refuses() -> None:
    bare = BoxTasks([0, 0], [3, 6], names=NAMES)
    with pytest.raises(ValueError, match=r"declares no difficulty.*or pass directions="):
        make_teacher("window", bare)
    with pytest.raises(ValueError, match="'height', which is not one of"):
        make_teacher("window", bare, directions={"height": 1})
    with pytest.raises(ValueError, match="2 entries"):
        make_teacher("window", bare, directions=[1])
    for name, value in [("window", 0.0), ("step", 0.0), ("queue", 0), ("level", 2.0)]:
        settings: dict[str, Any] = {name: value}
        with pytest.raises(ValueError, match=f"{name} must"):
            make_teacher("window", SPACE, **settings)


def test_slides_over_levels_by_their_distance() -> None:
    """In thirds of the mazes that the space samples: on by success, and where it fails no more."""
    space = MazeTasks(7)
    known = np.sort(space.difficulty_of(space.sample(3000, np.random.default_rng(1))))
    teacher: Any = make_teacher("window", space, seed=0, window=1 / 3, step=1 / 3, queue=40)
    for moves, success in ((0, 1.0), (1, 0.5), (1, 1.0), (2, 1.0), (2, 1.0)):
        low, high = teacher.snapshot()["corners"]
        assert (low, high) == (known[1000 * moves], known[1000 * moves + 999])
        tasks = teacher.sample(40)
        distances = space.difficulty_of(tasks)
        assert (distances.min(), distances.max()) == (low, high)
        teacher.update(Outcomes(tasks, np.full(40, success), successes=np.full(40, success)))
    with pytest.raises(ValueError, match="directions"):
        make_teacher("window", space, directions={"goal": 1})

"""The pair: both learners on the same tickets, and the regret that the designer hears."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from currgym import BoxTasks, Curriculum, make_teacher
from currgym.runs.describing import student_lines
from currgym.runs.settings import typed_student_parameters
from currgym.students import Pair
from currgym.students.pair import Attempt, Desk, pair_regret
from currgym.teaching import Batch, Teacher


class Listens(Teacher):
    """Draws anywhere and keeps what it hears."""

    spaces = frozenset({"box", "levels"})
    needs = frozenset({"regret"})
    name = "listens"

    def __init__(self, space: Any, **given: Any) -> None:
        super().__init__(space, **given)
        self.heard: list[tuple[float, float, int]] = []

    def _sample(self, n: int, rng: np.random.Generator) -> Any:
        if self.space.kind == "levels":
            return self.space.sample(n, rng)
        return rng.random((n, self.space.unit_dim))

    def _update(self, batch: Batch) -> None:
        rows = zip(batch.scores["regret"], batch.raw_returns, batch.lengths, strict=True)
        self.heard += [(float(a), float(b), int(c)) for a, b, c in rows]


def test_regret_worked_by_hand() -> None:
    assert pair_regret([0.2, 0.4], [0.9, 0.1]) == pytest.approx(0.6)
    assert pair_regret([1.0], [0.5]) == -0.5  # a protagonist that is better


def test_the_desk_gives_both_the_same_and_waits_for_both() -> None:
    teacher = Listens(BoxTasks([0], [1]), seed=0)
    desk = Desk(Curriculum(teacher, seed=0), attempts=2)
    first = [desk.next("protagonist") for _ in range(3)]
    assert [ticket for ticket, _, _ in first] == [0, 0, 1]
    other = [desk.next("antagonist") for _ in range(4)]
    assert [(t, float(task[0]), s) for t, task, s in other[:3]] == [
        (t, float(task[0]), s) for t, task, s in first
    ]
    desk.done("antagonist", 1, Attempt(0.3, 10))
    desk.done("protagonist", 0, Attempt(0.2, 11, 1.0))
    desk.done("protagonist", 0, Attempt(0.4, 12, 0.0))
    desk.done("antagonist", 0, Attempt(0.1, 13, 1.0))
    assert teacher.heard == []
    desk.done("antagonist", 0, Attempt(0.9, 14, 1.0))
    # The antagonist's best less the protagonist's mean; the mean is the return; all steps count.
    assert [tuple(np.round(row, 9)) for row in teacher.heard] == [(0.6, 0.3, 50)]
    assert desk.curriculum.ledger.steps == 50
    with pytest.raises(ValueError, match="attempts"):
        Desk(Curriculum(teacher, seed=0), attempts=0)


def mazes() -> Any:
    return gymnasium.make_vec("currgym/GridMaze-v0", num_envs=4, size=7)


def maze_pair(teacher: Any, **more: Any) -> Pair:
    return Pair(mazes, teacher, seed=3, n_steps=64, batch_size=64, n_epochs=2, **more)


def test_both_play_the_same_levels() -> None:
    designer: Any = make_teacher("paired", make_space(), seed=3, batch=4)
    pair = maze_pair(designer, attempts=2)
    played: dict[str, list[tuple[bytes, int]]] = {}
    for role, learner in pair.learners.items():
        seen = played[role] = []
        curriculum = learner.venv.core.curriculum
        settle = curriculum.settle

        def noting(*given: Any, seen: Any = seen, settle: Any = settle, **columns: Any) -> Any:
            outcomes = settle(*given, **columns)
            pairs = zip(outcomes.tasks, outcomes.seeds.tolist(), strict=True)
            seen.extend((task.tobytes(), seed) for task, seed in pairs)
            return outcomes

        curriculum.settle = noting
    pair.learn(2500)
    assert pair.steps >= 2500
    assert pair.protagonist.steps == pair.antagonist.steps
    counts = {
        role: {level: levels.count(level) for level in levels} for role, levels in played.items()
    }
    done = [level for level, n in counts["protagonist"].items() if n == 2]
    both = [level for level in done if counts["antagonist"].get(level) == 2]
    tickets = pair.ledger.attempts
    assert len(both) == tickets > 10
    assert all(n <= 2 for levels in counts.values() for n in levels.values())
    # The designer learns, and the ledger counts the steps of both, and no more than there were.
    assert designer.snapshot()["updates"] == tickets // 4
    assert pair.ledger.steps == pair.steps > pair.curriculum.ledger.steps > 0
    weights = [learner.model.policy.action_net.weight for learner in pair.learners.values()]
    assert not np.array_equal(*(w.detach().numpy() for w in weights))
    pair.close()


def test_any_teacher_may_design_and_the_pair_repeats() -> None:
    designers = [Listens(make_space(), seed=1) for _ in range(2)]
    first, second = (maze_pair(designer).learn(1200) for designer in designers)
    heard = designers[0].heard
    assert heard == designers[1].heard
    assert len(heard) > 3
    observation = np.zeros((1, 54), dtype=np.float32)
    assert first.policy().act(observation) == second.policy().act(observation)
    for regret, mean, _ in heard:
        assert -1.0 <= regret <= 1.0 - mean


def make_space() -> Any:
    from currgym.envs.grid_maze import MazeTasks

    return MazeTasks(7)


def test_students_with_a_replay_buffer_are_refused() -> None:
    with pytest.raises(ValueError, match="rollouts"):
        Pair(lambda: gymnasium.make_vec("currgym/CartPole-v0", num_envs=1), algorithm="dqn")


def test_a_pair_is_none_of_the_algorithms_that_make_one() -> None:
    with pytest.raises(ValueError, match="no algorithm"):
        Pair(mazes, algorithm="pair")


def test_parameters_are_its_own_and_those_of_the_chosen_algorithm() -> None:
    given = {"attempts": "3", "n_steps": "16", "normalize": "obs"}
    typed = {"attempts": 3, "n_steps": 16, "normalize": "obs"}
    assert typed_student_parameters("pair", given) == typed
    with pytest.raises(ValueError, match="cg_max_steps"):
        typed_student_parameters("pair", {"cg_max_steps": "5"})
    chosen = {"algorithm": "trpo", "cg_max_steps": "5"}
    assert typed_student_parameters("pair", chosen) == {"algorithm": "trpo", "cg_max_steps": 5}
    title, lines = student_lines("pair")
    assert "pair" in title
    told = dict(lines)
    assert told["--set student.attempts=2"]
    assert "--set student.n_steps=2048" in told


def test_what_is_told_of_single_episodes_has_no_mean() -> None:
    teacher = Listens(BoxTasks([0], [1]), seed=0)
    teacher.needs = frozenset({"terminated"})
    with pytest.raises(ValueError, match="terminated"):
        Desk(Curriculum(teacher, seed=0), attempts=1)


def test_other_needs_are_the_mean_of_the_protagonist_s_attempts() -> None:
    teacher = Listens(BoxTasks([0], [1]), seed=0)
    teacher.needs = frozenset({"regret", "pvl", "initial_values"})
    desk = Desk(Curriculum(teacher, seed=0), attempts=2)
    assert desk.wanted == {"pvl", "initial_values"}
    ticket = desk.next("protagonist")[0]
    heard: list[Any] = []
    teacher._update = heard.append  # type: ignore[assignment, method-assign]
    for pvl, value in ((0.1, 2.0), (0.3, 4.0)):
        desk.done(
            "protagonist", ticket, Attempt(0.0, 1, None, {"pvl": pvl, "initial_values": value})
        )
        desk.done("antagonist", ticket, Attempt(0.5, 1))
    assert heard[0].scores["pvl"] == pytest.approx([0.2])
    assert heard[0].initial_values == pytest.approx([3.0])


def test_a_designer_is_a_teacher_like_any_other() -> None:
    assert make_teacher("paired", make_space(), seed=0).needs == {"regret"}

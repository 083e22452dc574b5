from typing import Any, cast

import numpy as np
import pytest

from currgym import BoxTasks, Outcomes, make_teacher
from currgym.teachers.reverse_start import ReverseStart

SPACE = BoxTasks([0.0], [10.0], names=["start"])


def build(**parameters: Any) -> ReverseStart:
    # By name, so that an impostor can take its place.
    settings = {"seed": 0, "initial": [[1.0]], **parameters}
    return cast(ReverseStart, make_teacher("reverse-start", SPACE, **settings))


def tell(teacher: ReverseStart, tasks: Any, rate: Any) -> None:
    tasks = np.asarray(tasks, dtype=np.float64)
    values = np.asarray([rate(float(t[0])) for t in tasks], dtype=np.float64)
    teacher.update(Outcomes(tasks, values, successes=values))


def test_trace_of_one_iteration() -> None:
    """Worked by hand: good are the rates within [.1, .9]; the next walks begin there alone."""
    teacher = build(attempts=10, step_size=1e-9, walk_length=1)
    teacher._adopt(np.array([[0.1], [0.2], [0.3], [0.4], [0.5]]))
    # 1: 1 of 1, too easy. 2: 9 of 10 in halves = (1 + .8) / 2 = .9, just good. 3: (1 + 0 + 0) / 3,
    # good. 4: 0 of 2, too hard. 5: never tried. 9: foreign, ignored.
    attempts = [
        (1.0, 1.0), (2.0, 1.0), (9.0, 0.5), (2.0, 0.8), (3.0, 1.0), (3.0, 0.0), (3.0, 0.0),
        (4.0, 0.0), (4.0, 0.0), (1.0, 1.0), (4.0, 0.0),
    ]  # fmt: skip
    for start, success in attempts[:-1]:
        teacher.update(Outcomes([[start]], [success], successes=[success]))
    assert teacher.iterations == 0
    np.testing.assert_allclose(teacher._sums, [2.0, 1.8, 1.0, 0.0, 0.0], atol=1e-6)
    start, success = attempts[-1]
    teacher.update(Outcomes([[start]], [success], successes=[success]))
    assert teacher.iterations == 1
    np.testing.assert_allclose(teacher.good, [[0.2], [0.3]], atol=1e-6)
    # New starts lie at the good ones, old ones there or at the goal (1.0).
    places = np.unique(teacher.sample(500).round(4))
    assert places.tolist() == [1.0, 2.0, 3.0]
    np.testing.assert_allclose(teacher.remembered, [[0.1], [0.2], [0.3]], atol=1e-6)


def test_it_begins_at_the_goal_and_walks_as_far_as_a_random_walk_does() -> None:
    teacher = build(initial=[[5.0]], step_size=0.02, walk_length=25, old=0, new=2000)
    steps = (teacher.starts[:, 0] - 0.5) / 0.02
    # The mean square after t steps is t; over t = 1 to 25 that is 13, the origin's share is small.
    assert np.mean(steps**2) == pytest.approx(13.0, rel=0.25)


def test_the_first_proposals_are_walks_from_the_goal_already() -> None:
    starts = build(initial=[[5.0]], step_size=0.01, walk_length=10, old=0).sample(300)[:, 0]
    assert 0.05 < np.abs(starts - 5.0).mean() < 1.0
    assert len(np.unique(starts)) > 100


def test_profile_the_frontier_moves_outward_with_the_student() -> None:
    """A student that manages starts up to its reach, and reaches further by what it manages."""
    teacher = build(new=50, old=25, attempts=150)
    reach, seen = 1.5, []
    for _ in range(60):
        tasks = teacher.sample(50)
        rates = 1.0 / (1.0 + np.exp(3.0 * (tasks[:, 0] - reach)))
        teacher.update(Outcomes(tasks, rates, successes=rates))
        reach += 0.1 * float(np.mean(np.abs(tasks - reach) < 1.0))
        seen.append((reach, float(np.median(tasks))))
    assert reach > 5.0
    late = np.array(seen[20:])
    assert np.abs(late[:, 1] - late[:, 0]).max() < 2.0  # the starts stay with the reach
    assert np.corrcoef(late.T)[0, 1] > 0.9


def test_nothing_good_goes_on_from_all_if_too_easy_and_from_earlier_if_too_hard() -> None:
    easy = build(attempts=20, step_size=1e-9)
    easy._adopt(np.array([[0.3], [0.4]]))
    tell(easy, easy.sample(20), lambda _: 1.0)
    assert {*np.unique(easy.sample(200).round(4)).tolist()} == {1.0, 3.0, 4.0}
    hard = build(attempts=20, step_size=1e-9)
    hard._adopt(np.array([[0.3], [0.4]]))
    tell(hard, hard.sample(20), lambda _: 0.0)
    assert np.unique(hard.sample(200).round(4)).tolist() == [1.0]


def test_old_starts_are_replayed_in_their_share() -> None:
    teacher = build(new=100, old=100, step_size=0.001, walk_length=1, attempts=20)
    teacher.remembered = np.array([[0.8]])
    teacher._begin(np.linspace(0.2, 0.3, 100)[:, None])
    assert np.mean(teacher.sample(2000) > 7.0) == pytest.approx(0.5, abs=0.05)


def test_walks_stay_in_the_cube() -> None:
    teacher = build(initial=[[0.0]], step_size=0.5)
    assert ((teacher.starts >= 0.0) & (teacher.starts <= 1.0)).all()


def test_privileges_are_what_it_was_told() -> None:
    assert build().privileges == {"initial"}
    assert make_teacher("reverse-start", SPACE, seed=0).privileges == frozenset()
    told = BoxTasks([0.0], [1.0], names=["a"], difficulty="a")
    assert make_teacher("reverse-start", told, seed=0).privileges == {"difficulty"}


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"new": 0}, "new must be at least 1"),
        ({"low": 0.9, "high": 0.1}, "0 <= low <= high <= 1"),
        ({"step_size": 0.0}, "step_size must be above 0"),
        ({"initial": [[11.0]]}, "start"),
        ({"measure": "x"}, "measure must be one of"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        build(**settings)

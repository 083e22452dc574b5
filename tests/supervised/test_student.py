"""The supervised student: what it learns, what it counts, and that it can be stopped anywhere."""

from __future__ import annotations

import inspect
import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from currgym import Curriculum, Outcomes, Proposals, make_teacher
from currgym.states import load_state, save_state
from currgym.students.supervised import SupervisedStudent
from currgym.supervised import Digits, Family, Regression
from currgym.supervised.networks import Dropout
from currgym.teaching import Teacher, teachers

TEACHERS = [name for name in ("random", "easy-to-hard", "cyclical", "alp-gmm") if name in teachers]


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits(label_noise=0.1, scoring_passes=3)


@pytest.fixture(scope="module")
def waves() -> Regression:
    return Regression()


def start(
    family: Family, teacher: Any = "random", seed: int = 0, **settings: Any
) -> tuple[SupervisedStudent, Curriculum]:
    if isinstance(teacher, str):
        teacher = make_teacher(
            teacher, family.task_space, seed=seed, return_range=family.return_range
        )
    return SupervisedStudent(family, seed=seed, **settings), Curriculum(teacher, seed=seed)


def distance(one: SupervisedStudent, other: SupervisedStudent) -> float:
    pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
    return max(float((a - b).abs().max().item()) for a, b in pairs)


def accuracy(student: SupervisedStudent, test_set: str = "validation") -> float:
    return float(np.mean([row.success for row in student.evaluate(test_set)]))


class Script(Teacher):
    """Proposes and weighs what it is told to, and remembers what it hears."""

    spaces = frozenset({"box", "discrete"})

    def __init__(self, space: Any, **settings: Any) -> None:
        super().__init__(space, seed=0)
        self.tasks: Any = settings.get("tasks")
        self.given: Any = settings.get("weights")
        self.wanted: Any = settings.get("requests")
        self.heard: list[Outcomes] = []
        self.losses: Any = None

    def _sample(self, n: int, rng: np.random.Generator) -> Any:
        return np.resize(self.tasks, n) if self.native else rng.random((n, self.space.unit_dim))

    def weights(self, tasks: Any, losses: Any = None) -> Any:
        self.losses = losses
        return np.ones(len(tasks)) if self.given is None else self.given

    def _requests(self) -> Proposals | None:
        wanted, self.wanted = self.wanted, None
        return None if wanted is None else Proposals(np.asarray(wanted))

    def update(self, outcomes: Outcomes) -> None:
        self.heard.append(outcomes)


# Learning ----------------------------------------------------------------------------------------


def test_learns_digits() -> None:
    family = Digits(scored=False)
    student, curriculum = start(family)
    assert accuracy(student) < 0.3
    student.learn(curriculum, 10 * 1257)
    assert accuracy(student) > 0.9
    assert accuracy(student, "test") > 0.9


def test_one_update_by_hand(digits: Digits) -> None:
    """A linear network under SGD: the weighted mean of the examples' gradients, eq. by eq."""
    tasks, weights = np.array([3, 5, 8]), np.array([0.0, 0.5, 2.5])
    teacher = Script(digits.task_space, tasks=tasks, weights=weights)
    student, curriculum = start(digits, teacher, hidden=(), optimizer="sgd", lr=0.1, batch_size=3)
    matrix, bias = (p.detach().numpy().astype(np.float64) for p in student.model.parameters())
    x, y = (part.numpy() for part in digits.batch(tasks, tasks))
    scores = x @ matrix.T + bias
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    losses = -np.log(p[np.arange(3), y])
    slope = weights[:, None] * (p - np.eye(10)[y]) / 3
    right = scores.argmax(axis=1) == y
    student.step(curriculum)
    after = [p.detach().numpy() for p in student.model.parameters()]
    assert np.allclose(after[0], matrix - 0.1 * slope.T @ x, atol=1e-6)
    assert np.allclose(after[1], bias - 0.1 * slope.sum(axis=0), atol=1e-6)
    assert np.allclose(teacher.losses, losses, atol=1e-5)
    (outcomes,) = teacher.heard
    assert outcomes.tasks.tolist() == tasks.tolist()
    assert outcomes.returns is None
    assert np.allclose(outcomes.scores["loss"], losses, atol=1e-5)
    assert outcomes.successes is not None
    assert (outcomes.successes == right).all()
    assert outcomes.lengths.tolist() == [1, 1, 1]


def test_dropout_leaves_out_its_share_and_keeps_the_mean() -> None:
    layer = Dropout(0.25, torch.Generator().manual_seed(0))
    ones = torch.ones(200, 500)
    dropped = layer(ones)
    assert set(dropped.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.75)}
    assert abs(float((dropped == 0).float().mean()) - 0.25) < 0.01
    assert abs(float(dropped.mean()) - 1.0) < 0.01
    assert torch.equal(layer.eval()(ones), ones)


def test_weights_of_one_change_nothing(digits: Digits) -> None:
    class Bare:
        """The least a teacher can be."""

        def __init__(self) -> None:
            self.heard = 0

        def sample(self, n: int = 1) -> Any:
            return np.arange(n)

        def update(self, outcomes: Outcomes) -> None:
            self.heard += len(outcomes)

    bare = Bare()
    one, curriculum = start(digits, bare)
    other, weighed = start(digits, Script(digits.task_space, tasks=np.arange(32)))
    for _ in range(3):
        one.step(curriculum)
        other.step(weighed)
    assert bare.heard == 96
    assert distance(one, other) == 0.0


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "silu"])
def test_every_form_learns(optimizer: str, activation: str) -> None:
    waves = Regression(frequency=(0.2, 0.4))
    lr = 0.1 if optimizer == "sgd" else 1e-2
    settings: dict[str, Any] = {"weight_decay": 1e-4}
    if optimizer == "sgd":
        settings = {"momentum": 0.9}
    student, curriculum = start(
        waves, optimizer=optimizer, activation=activation, lr=lr, dropout=0.02, **settings
    )
    easy, seeds = np.tile([0.3, 0.0], (64, 1)), np.arange(64)
    before = student.losses(easy, seeds).mean()
    student.learn(curriculum, 12_000)
    assert student.losses(easy, seeds).mean() < 0.8 * before


def test_settings_are_documented_and_kept() -> None:
    parameters = inspect.signature(SupervisedStudent).parameters
    student = SupervisedStudent(Regression(), seed=3)
    for name, parameter in parameters.items():
        assert f"        {name}: " in (SupervisedStudent.__doc__ or ""), name
        if parameter.default is not parameter.empty and name != "optimizer":
            assert getattr(student, name) == parameter.default


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adan"}, "did you mean 'adam'"),
        ({"activation": "rely"}, "did you mean 'relu'"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"lr": float("nan")}, "lr must be above 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"dropout": 1.0}, "dropout must be in"),
        ({"hidden": (8, 0)}, "hidden must be widths"),
        ({"momentum": 0.9}, "momentum is for optimizer='sgd'"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SupervisedStudent(Regression(), seed=0, **settings)


# Repeating and resuming --------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEACHERS)
@pytest.mark.parametrize("kind", ["digits", "waves"])
def test_any_teacher_drives_it_and_a_stopped_run_goes_on_exactly(
    name: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    family: Family = request.getfixturevalue(kind)
    budget = 1300 * family.samples_per_task
    whole, curriculum = start(family, name, dropout=0.1)
    whole.learn(curriculum, budget)
    assert curriculum.ledger.steps == budget

    first, half = start(family, name, dropout=0.1)
    for _ in range(17):
        first.step(half)
    (tmp_path / "state").mkdir()
    save_state(tmp_path / "state", {"student": first.state_dict(), "curriculum": half.state_dict()})
    first.learn(half, budget)  # what was saved is a copy: going on does not touch it
    state = load_state(tmp_path / "state")
    second, rest = start(family, name, seed=5, dropout=0.1)
    second.load_state_dict(state["student"])
    rest.load_state_dict(state["curriculum"])
    second.learn(rest, budget)
    assert distance(whole, first) == distance(whole, second) == 0.0
    assert whole.updates == second.updates == curriculum.ledger.updates
    assert rest.ledger == curriculum.ledger
    assert whole.evaluate() == second.evaluate()
    probe = np.random.default_rng(0)
    assert np.array_equal(
        rest.teacher.preview(20, probe),  # type: ignore[attr-defined]
        curriculum.teacher.preview(20, np.random.default_rng(0)),  # type: ignore[attr-defined]
    )


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_state_survives_at_every_boundary(
    waves: Regression, optimizer: str, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"optimizer": optimizer, "dropout": 0.2, "hidden": (16,)}
    if optimizer == "sgd":
        settings["momentum"] = 0.9
    whole, curriculum = start(waves, **settings)
    student, other = start(waves, **settings)
    for k in range(12):
        whole.step(curriculum)
        student.step(other)
        torch.save(student.state_dict(), tmp_path / f"{k}.pt")
        student = SupervisedStudent(waves, seed=99 + k, **settings)
        student.load_state_dict(torch.load(tmp_path / f"{k}.pt", weights_only=True))
    assert distance(whole, student) == 0.0
    assert student.updates == 12


def test_a_state_is_a_copy_and_loading_makes_another(waves: Regression) -> None:
    student, curriculum = start(waves, dropout=0.2)
    student.step(curriculum)
    state = student.state_dict()
    file = io.BytesIO()
    torch.save(state, file)
    student.step(curriculum)
    twin = SupervisedStudent(waves, seed=1, dropout=0.2)
    twin.load_state_dict(state)
    twin.step(curriculum)
    file.seek(0)
    going_on = []
    for saved in (state, torch.load(file, weights_only=True)):
        again, same = start(waves, dropout=0.2)
        again.load_state_dict(saved)
        again.step(same)
        going_on.append(again)
    assert distance(*going_on) == 0.0
    assert distance(student, going_on[0]) > 0.0


def test_the_seed_decides(waves: Regression) -> None:
    def run(seed: int) -> SupervisedStudent:
        student, curriculum = start(waves, seed=seed)
        student.learn(curriculum, 5_000)
        return student

    one, same, other = run(0), run(0), run(1)
    assert distance(one, same) == 0.0
    assert distance(one, other) > 0.0


def test_evaluating_changes_nothing(digits: Digits) -> None:
    quiet, curriculum = start(digits, dropout=0.2)
    looked, watched = start(digits, dropout=0.2)
    for _ in range(5):
        quiet.step(curriculum)
        looked.step(watched)
        rows = looked.evaluate("test", watched.ledger)
        assert rows == looked.evaluate()
        looked.losses(np.arange(50))
    assert distance(quiet, looked) == 0.0


def test_global_random_states_are_left_alone(digits: Digits) -> None:
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    student, curriculum = start(digits, dropout=0.3)
    student.learn(curriculum, 500)
    student.evaluate()
    student.load_state_dict(student.state_dict())
    after = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert all(np.array_equal(a, b) for a, b in zip(before[1], after[1], strict=True))
    assert before[2] == after[2]
    torch.manual_seed(1)
    again, curriculum = start(digits, dropout=0.3)
    again.learn(curriculum, 500)
    assert distance(student, again) == 0.0


# Counting ----------------------------------------------------------------------------------------


def test_the_ledger_counts_samples_updates_evaluations_and_scoring(digits: Digits) -> None:
    student, curriculum = start(digits)
    ledger = curriculum.ledger
    digits.charge(ledger)
    student.learn(curriculum, 1000)
    student.evaluate("validation", ledger)
    student.evaluate("test", ledger)
    assert (ledger.attempts, ledger.steps, ledger.updates) == (1000, 1000, 32)
    assert student.updates == 32
    assert (ledger.evaluations, ledger.evaluation_steps) == (540, 540)
    assert (ledger.scoring_passes, ledger.teacher_trainings) == (1, 1)
    assert ledger.cancelled == ledger.probes == 0


def test_points_are_samples(waves: Regression) -> None:
    student, curriculum = start(waves)
    student.learn(curriculum, 1001)
    ledger = curriculum.ledger
    assert (ledger.attempts, ledger.steps, ledger.updates) == (126, 1008, 4)
    student.evaluate("test", ledger)
    assert (ledger.evaluations, ledger.evaluation_steps) == (150, 1200)


def test_requests_are_answered_before_the_update_and_teach_nothing(digits: Digits) -> None:
    teacher = Script(digits.task_space, tasks=[1], requests=[10, 20])
    student, curriculum = start(digits, teacher, dropout=0.3, batch_size=4)
    plain, other = start(digits, Script(digits.task_space, tasks=[1]), dropout=0.3, batch_size=4)
    expected = student.losses([10, 20])
    student.step(curriculum)
    plain.step(other)
    probes, batch = teacher.heard
    assert probes.probe is not None
    assert probes.probe.all()
    assert probes.tasks.tolist() == [10, 20]
    assert np.array_equal(probes.scores["loss"], expected)
    assert batch.probe is None
    assert (curriculum.ledger.probes, curriculum.ledger.attempts) == (2, 4)
    assert distance(student, plain) == 0.0


# Bad numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_example_is_named_and_nothing_is_lost(bad: float) -> None:
    family = Digits(scored=False)
    family._inputs = family._inputs.clone()
    family._inputs[7, 0] = bad
    teacher = Script(family.task_space, tasks=[5, 6, 7])
    student, curriculum = start(family, teacher, batch_size=3)
    state = student.state_dict()
    with pytest.raises(ValueError, match=r"loss of 1 of 3 examples .*\{'task': 7\} with seed"):
        student.step(curriculum)
    twin = SupervisedStudent(family, seed=9)
    twin.load_state_dict(state)
    assert distance(student, twin) == 0.0
    assert student.updates == curriculum.ledger.updates == 0
    assert not curriculum.open
    assert teacher.heard == []
    assert (curriculum.ledger.cancelled, curriculum.ledger.cancelled_steps) == (3, 3)
    teacher.tasks = [5, 6]
    student.step(curriculum)
    assert student.updates == 1


def test_divergence_is_refused_with_the_learning_rate(waves: Regression) -> None:
    student, curriculum = start(waves, optimizer="sgd", lr=1e6)
    with pytest.raises(ValueError, match=r"frequency.*noise.*and 29 more.*lower lr=1e\+06"):
        student.learn(curriculum, 100_000)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.array([1.0, np.nan, 1.0]), r"weight of 1 of 3 examples .*\{'task': 6\}"),
        (np.ones(2), r"weights must have shape \(3,\)"),
    ],
)
def test_bad_weights_are_refused(digits: Digits, weights: Any, message: str) -> None:
    teacher = Script(digits.task_space, tasks=[5, 6, 7], weights=weights)
    student, curriculum = start(digits, teacher, batch_size=3)
    with pytest.raises(ValueError, match=message):
        student.step(curriculum)
    assert student.updates == 0
    assert not curriculum.open

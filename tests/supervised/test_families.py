"""Data families: splits, scores, generated examples, and labels that only an evaluation reads."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from currgym import Curriculum, make_teacher
from currgym.curriculum import SEED_LIMIT, Ledger
from currgym.students.supervised import SupervisedStudent
from currgym.supervised import (
    MLP,
    Digits,
    HeldOut,
    Regression,
    Row,
    families,
    family_parameters,
    make_family,
    register_family,
    scoring_run,
    uses_scores,
)
from currgym.supervised import digits as digits_module
from currgym.tasks import DiscreteTasks
from currgym.teaching import Teacher

PASSES = 3


@pytest.fixture(scope="module")
def noisy() -> Digits:
    return Digits(label_noise=0.2, scoring_passes=PASSES)


# The registry ------------------------------------------------------------------------------------


def test_families_are_found_by_name() -> None:
    assert {"data/digits", "data/regression"} <= set(families)
    assert isinstance(make_family("data/regression", points=4), Regression)


def test_wrong_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'data/digits'"):
        make_family("data/digit")
    with pytest.raises(TypeError, match="did you mean 'label_noise'"):
        make_family("data/digits", label_nois=0.1)
    with pytest.raises(ValueError, match="must begin with 'data/'"):
        register_family("waves")(Regression)


@pytest.mark.parametrize("name", ["data/digits", "data/regression"])
def test_parameters_repeat_the_family_and_are_documented(name: str) -> None:
    cls = families[name]
    given: dict[str, Any] = {"scored": False} if name == "data/digits" else {"points": 3}
    family = make_family(name, **given)
    again = make_family(name, **family.parameters())
    assert again.parameters() == family.parameters()
    assert repr(again) == repr(family)
    for parameter in family_parameters(cls):
        assert f"        {parameter}: " in (cls.__doc__ or ""), parameter


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("data/digits", {"label_noise": 1.5}, "label_noise must be in"),
        ("data/digits", {"scoring_passes": 0}, "scoring_passes must be at least 1"),
        ("data/regression", {"frequency": (0.0, 1.0)}, "frequency must be above 0"),
        ("data/regression", {"frequency": (2.0, 1.0)}, "'frequency' must not exceed"),
        ("data/regression", {"noise": (-0.1, 1.0)}, "noise must be at least 0"),
        ("data/regression", {"noise": (0.1,)}, "ranges must be"),
        ("data/regression", {"points": 0}, "points must be at least 1"),
        ("data/regression", {"mastery_loss": float("nan")}, "mastery_loss must be above 0"),
    ],
)
def test_bad_parameters_are_refused(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_family(name, **given)


def test_importing_and_describing_loads_no_torch() -> None:
    code = (
        "import sys, currgym, currgym.supervised as s; s.make_family('data/regression'); "
        "sys.exit(bool({'torch', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_global_random_states_are_left_alone(noisy: Digits) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    scoring_run(noisy, passes=1)
    Digits(label_noise=0.1, scored=False)
    Regression().batch([[1.0, 0.1]], [5])
    after = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert all(np.array_equal(a, b) for a, b in zip(before[1], after[1], strict=True))
    assert before[2] == after[2]


# Digits ------------------------------------------------------------------------------------------


def test_digits_split_and_scale() -> None:
    family = Digits(scored=False, with_features=True)
    space = family.task_space
    assert isinstance(space, DiscreteTasks)
    assert space.n == 1257
    inputs, targets = family.batch(np.arange(1257), np.zeros(1257))
    assert inputs.shape == (1257, 64)
    varied = inputs.std(dim=0) > 0
    assert torch.allclose(inputs.mean(dim=0), torch.zeros(64), atol=1e-5)
    assert torch.allclose(inputs.std(dim=0, correction=0)[varied], torch.tensor(1.0), atol=1e-4)
    assert space.groups is not None
    assert (space.groups == targets.numpy()).all()
    assert space.features is not None
    assert np.allclose(space.features, inputs.numpy(), atol=1e-6)
    parts = [inputs, *(family.test_sets[name].read().inputs for name in ("test", "validation"))]
    assert [len(part) for part in parts] == [1257, 270, 270]
    rows = [{row.tobytes() for row in part.numpy()} for part in parts]
    assert len(set.union(*rows)) == sum(len(part) for part in rows)


def test_label_noise_changes_exactly_that_share_of_training_labels_only() -> None:
    clean, noisy = (Digits(label_noise=p, scored=False) for p in (0.0, 0.2))
    every = np.arange(1257)
    right = clean.batch(every, every).targets.numpy()
    given = noisy.batch(every, every).targets.numpy()
    assert noisy.flipped.sum() == round(0.2 * 1257) == (right != given).sum()
    assert ((right != given) == noisy.flipped).all()
    assert len(np.unique((given - right)[noisy.flipped] % 10)) == 9
    for name in ("test", "validation"):
        one, other = clean.test_sets[name].read(), noisy.test_sets[name].read()
        assert torch.equal(one.targets, other.targets)
    other_seed = Digits(label_noise=0.2, seed=1, scored=False)
    assert not torch.equal(other_seed.batch(every, every).inputs, noisy.batch(every, every).inputs)


def test_scores_find_the_wrong_labels(noisy: Digits) -> None:
    scores = noisy.task_space.difficulty_of(np.arange(1257))
    wrong, right = scores[noisy.flipped], scores[~noisy.flipped]
    assert (wrong[:, None] > right[None]).mean() > 0.9
    assert np.array_equal(scores, scoring_run(noisy, passes=PASSES))
    assert not np.array_equal(scores, scoring_run(noisy, passes=PASSES, seed=1001))


def test_equal_scoring_runs_are_made_once_but_charged_to_every_arm(
    noisy: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("scored again")

    monkeypatch.setattr("currgym.supervised.scoring.scoring_run", refuse)
    again = Digits(label_noise=0.2, scoring_passes=PASSES)
    every = np.arange(1257)
    assert np.array_equal(
        again.task_space.difficulty_of(every), noisy.task_space.difficulty_of(every)
    )
    with pytest.raises(AssertionError, match="scored again"):
        Digits(label_noise=0.2, scoring_passes=PASSES, scorer={"hidden": [32]})
    for family in (noisy, again):
        ledger = Ledger()
        family.charge(ledger)
        assert (ledger.scoring_passes, ledger.teacher_trainings) == (1, 1)


def test_the_scorer_has_the_parameters_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def record(family: Any, **settings: Any) -> Any:
        seen.update(settings)
        return np.arange(1257.0)

    monkeypatch.setattr("currgym.supervised.scoring.scoring_run", record)
    digits_module._scores.cache_clear()
    Digits(scoring_passes=2, scoring_seed=7, scorer={"hidden": [32], "lr": 0.01})
    digits_module._scores.cache_clear()
    assert seen == {"passes": 2, "seed": 7, "hidden": [32], "lr": 0.01}


def test_only_arms_that_use_the_scores_pay_for_them(noisy: Digits) -> None:
    class OnRanks(Teacher):
        def _sample(self, n: int, rng: np.random.Generator) -> Any:
            return rng.random((n, 1))

    class Declared(OnRanks):
        spaces = frozenset({"discrete"})
        privileges = frozenset({"difficulty"})

    space = noisy.task_space
    for teacher, expected in (
        (make_teacher("random", space), 0),
        (OnRanks(space), 1),
        (Declared(space), 1),
        (object(), 0),
    ):
        ledger = Ledger()
        noisy.charge(ledger, teacher)
        assert ledger.scoring_passes == ledger.teacher_trainings == expected
        assert uses_scores(teacher) == bool(expected)
    assert not uses_scores(OnRanks(Regression().task_space))
    assert Digits(scored=False).costs == Regression().costs == {}


def test_tasks_outside_are_refused() -> None:
    with pytest.raises(ValueError, match="index -1 is not in"):
        Digits(scored=False).batch([0, -1], [0, 0])
    with pytest.raises(ValueError, match="frequency = 9 is not in"):
        Regression().batch([[9.0, 0.0]], [0])


# Held-out labels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["data/digits", "data/regression"])
def test_only_an_evaluation_reads_held_out_labels(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = HeldOut.read

    def refuse(self: HeldOut) -> Any:
        raise AssertionError(f"{self.name} was read")

    monkeypatch.setattr(HeldOut, "read", refuse)
    given: dict[str, Any] = {"scoring_passes": 1, "seed": 77} if name == "data/digits" else {}
    family = make_family(name, **given)
    student = SupervisedStudent(family, seed=0)
    curriculum = Curriculum(make_teacher("random", family.task_space, seed=0))
    student.learn(curriculum, 64 * family.samples_per_task)
    student.probe(curriculum)
    student.losses(family.task_space.sample(4, np.random.default_rng(0)))
    with pytest.raises(AssertionError, match="validation was read"):
        student.evaluate("validation")
    monkeypatch.setattr(HeldOut, "read", read)
    assert family.test_sets["test"].reads == 0
    student.evaluate("test")
    assert {k: v.reads for k, v in family.test_sets.items()} == {"test": 1, "validation": 0}


def test_rows_tell_task_seed_loss_and_success() -> None:
    family = Regression(points=5)
    rows = family.evaluate(lambda inputs: torch.zeros(*inputs.shape[:2], 1))
    held_out = family.test_sets["test"]
    assert len(rows) == len(held_out) == 150
    assert held_out.tasks.shape == (50, 2)
    for row in (rows[0], rows[100]):
        task, (inputs, targets) = held_out.tasks[row.task_index], held_out.read()
        index = rows.index(row)
        assert torch.equal(inputs[index], family.batch(task, [row.seed]).inputs[0])
        loss = float(targets[index].square().mean())
        assert row == Row(row.task_index, row.seed, loss, 5, float(loss < 0.15))
        assert row.result == -loss


def test_evaluation_refuses_what_it_cannot_do() -> None:
    family = Regression()
    with pytest.raises(ValueError, match="did you mean 'validation'"):
        family.evaluate(lambda inputs: inputs, "valid")
    with pytest.raises(ValueError, match="gave the loss nan in row 0"):
        family.evaluate(lambda inputs: torch.full((*inputs.shape[:2], 1), torch.nan))


def test_evaluation_leaves_a_module_in_its_mode() -> None:
    family, modes = Regression(), []
    network = MLP(2, 1, (4,), dropout=0.5, generator=torch.Generator().manual_seed(0))
    network.register_forward_hook(lambda module, *_: modes.append(module.training))
    for training in (True, False):
        network.train(training)
        family.evaluate(network)
        assert network.training == training
    assert modes == [False, False]


# Regression --------------------------------------------------------------------------------------


def test_examples_depend_on_task_and_seed_alone() -> None:
    family, rng = Regression(), np.random.default_rng(0)
    tasks, seeds = family.task_space.sample(40, rng), rng.integers(SEED_LIMIT, size=40)
    whole = family.batch(tasks, seeds)
    order = rng.permutation(40)
    shuffled = Regression().batch(tasks[order], seeds[order])
    assert torch.equal(whole.inputs[order], shuffled.inputs)
    assert torch.equal(whole.targets[order], shuffled.targets)
    for row in (0, 17):
        alone = family.batch(tasks[row], seeds[row])
        assert torch.equal(alone.inputs[0], whole.inputs[row])
        assert torch.equal(alone.targets[0], whole.targets[row])
    others = family.batch(tasks, seeds + 1)
    assert (others.targets != whole.targets).any(dim=1).all()


def test_examples_follow_the_declared_law() -> None:
    family = Regression(points=16, noise=(0.0, 0.5))
    n, seeds = 4000, np.arange(4000)
    x, y = (
        part.numpy().astype(np.float64)
        for part in (lambda e: (e.inputs[..., 0], e.targets))(
            family.batch(np.tile([2.0, 0.5], (n, 1)), seeds)
        )
    )
    error = (y - np.sin(4 * np.pi * x)) / 0.5
    assert abs(error.mean()) < 0.015
    assert abs(error.std() - 1) < 0.015
    assert abs((np.abs(error) < 1).mean() - 0.6827) < 0.006
    assert abs(np.corrcoef(error[:, 0], error[:, 1])[0, 1]) < 0.05
    assert abs(np.corrcoef(error[:-1, 0], error[1:, 0])[0, 1]) < 0.05
    parts = np.floor((x + 1) * 8)
    assert (parts == np.arange(16)).mean() > 0.9999
    within = (x + 1) * 8 - parts
    assert abs(within.mean() - 0.5) < 0.01
    assert abs(within.std() - 12**-0.5) < 0.01
    exact = family.batch([[2.0, 0.0]], [3])
    assert torch.allclose(exact.targets, torch.sin(4 * torch.pi * exact.inputs[..., 0]), atol=1e-5)
    assert torch.allclose(exact.inputs[..., 1], torch.tensor(2 * 1.5 / 2.5 - 1))


def test_nothing_trained_on_is_ever_tested_on() -> None:
    family = Regression()
    sets = family.test_sets
    for held_out in sets.values():
        assert held_out.seeds.min() >= SEED_LIMIT
        assert len(np.unique(held_out.seeds)) == len(held_out)
        assert (np.bincount(held_out.task_index) == 3).all()
    assert not set(sets["test"].seeds.tolist()) & set(sets["validation"].seeds.tolist())
    mixed = np.concatenate([held_out.tasks for held_out in sets.values()])
    assert len(np.unique(mixed, axis=0)) == 100


def test_a_fixed_dimension_leaves_the_cube() -> None:
    family = Regression(noise=(0.1, 0.1))
    assert family.task_space.unit_dim == 1
    assert family.test_sets["test"].tasks.shape == (10, 2)
    still = Regression(frequency=(1.0, 1.0))
    assert (still.batch([[1.0, 0.0]], [0]).inputs[..., 1] == 0).all()


@pytest.fixture(scope="module")
def trained() -> SupervisedStudent:
    family = Regression()
    student = SupervisedStudent(family, seed=0, lr=3e-3)
    student.learn(Curriculum(make_teacher("random", family.task_space, seed=0)), 128_000)
    return student


def test_loss_grows_with_declared_difficulty(trained: SupervisedStudent) -> None:
    seeds = np.arange(60)

    def mean(frequency: float, noise: float) -> float:
        return float(trained.losses(np.tile([frequency, noise], (60, 1)), seeds).mean())

    for frequency in (1.0, 2.0, 3.0):
        noises = [mean(frequency, noise) for noise in (0.0, 0.1, 0.2, 0.3)]
        assert noises == sorted(noises)
    bands = [
        np.mean([mean(f, noise) for f in band for noise in (0.0, 0.3)])
        for band in ((0.8, 1.0, 1.2), (1.6, 1.8, 2.0), (2.6, 2.8, 3.0))
    ]
    assert bands == sorted(bands)


def test_regression_is_learnt_but_not_at_once(trained: SupervisedStudent) -> None:
    rows = trained.evaluate()
    mastered = np.mean([row.success for row in rows])
    assert 0.2 < mastered < 0.9
    fresh = SupervisedStudent(trained.family, seed=0)
    assert np.mean([row.success for row in fresh.evaluate()]) < 0.05
    assert all(row.success == (row.result > trained.family.mastery) for row in rows)

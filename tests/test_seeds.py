"""Episode seeds make NumPy's own generators, to the bit."""

from __future__ import annotations

import copy
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.utils import seeding

import currgym
from currgym.curriculum import SEED_LIMIT
from currgym.seeds import EpisodeSeed, episode_seeds, generator

EDGES = [0, 1, 2**16 - 1, 2**16, 2**31 - 2, SEED_LIMIT, 2**32 - 1]


def test_words_are_those_of_numpy() -> None:
    numbers = [*EDGES, *np.random.default_rng(0).integers(2**32, size=2000).tolist()]
    for number, seed in zip(numbers, episode_seeds(numbers), strict=True):
        assert isinstance(seed, EpisodeSeed)
        assert seed == number
        expected = np.random.SeedSequence(number).generate_state(4, np.uint64)
        assert np.array_equal(seed.words, expected), number


@pytest.mark.parametrize("number", EDGES)
def test_generators_are_those_of_gymnasium(number: int) -> None:
    theirs, _ = seeding.np_random(number)
    (seed,) = episode_seeds([number])
    ours = generator(seed)
    assert ours.bit_generator.state == theirs.bit_generator.state
    assert ours.random(5).tolist() == theirs.random(5).tolist()
    child, other = ours.spawn(1)[0], theirs.spawn(1)[0]
    assert child.random() == other.random()
    again = pickle.loads(pickle.dumps(ours))
    assert again.random() == theirs.random() == copy.deepcopy(ours).random()
    assert generator(number).bit_generator.state == seeding.np_random(number)[0].bit_generator.state


def test_a_seed_travels_as_a_plain_number() -> None:
    (seed,) = episode_seeds([7])
    assert type(pickle.loads(pickle.dumps(seed))) is int


def test_an_episode_of_a_curriculum_is_that_of_a_plain_reset() -> None:
    bare = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("currgym/CartPole-v0")] * 3)
    vec = currgym.CurriculumVectorEnv(bare, "random", seed=0)
    native = currgym.CurriculumVectorEnv(
        gymnasium.make_vec("currgym/CartPole-v0", num_envs=3), "random", seed=0
    )
    observations, _ = vec.reset()
    assert np.array_equal(native.reset()[0], observations)
    env = gymnasium.make("currgym/CartPole-v0")
    for i in range(3):
        seed = int(vec.tickets.seeds[i])
        alone, _ = env.reset(seed=seed, options={"task": vec.tickets.tasks[i]})
        assert np.array_equal(alone, observations[i])
        assert bare.envs[i].unwrapped.np_random_seed == seed
        assert type(bare.envs[i].unwrapped.np_random_seed) is int

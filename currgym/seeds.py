"""Episode seeds whose generators are cheap to make.

An episode begins with a fresh generator, seeded as Gymnasium does it; most of that time goes into
NumPy's ``SeedSequence``, a short calculation made word by word. The curriculum draws seeds in
blocks, so it makes that calculation for a whole block at once, and each seed brings the result.
The streams are NumPy's own, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from numpy.random.bit_generator import ISpawnableSeedSequence
from numpy.typing import NDArray

__all__ = ["EpisodeSeed", "episode_seeds", "generator"]

Words = NDArray[np.uint32]

# numpy/random/bit_generator.pyx, after M. E. O'Neill's "Developing a seed_seq alternative" (2015).
_POOL = 4
_INIT_A, _MULT_A = 0x43B0D7E5, 0x931E8875
_INIT_B, _MULT_B = 0x8B51F9DD, 0x58F38DED
_MIX_LEFT, _MIX_RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
_SHIFT = np.uint32(16)


class EpisodeSeed(int):
    """A seed that brings the words with which NumPy initialises a PCG64 of this seed.

    It travels to other processes as a plain number.

    Attributes:
        words: uint64 ``(4,)``.
    """

    words: NDArray[np.uint64]

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return int, (int(self),)


class _Known(ISpawnableSeedSequence):
    """Stands in for the ``SeedSequence`` of a seed whose first words are known."""

    def __init__(self, seed: EpisodeSeed) -> None:
        self.seed = seed

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        if n_words == _POOL and dtype is np.uint64:
            return self.seed.words
        return np.random.SeedSequence(int(self.seed)).generate_state(n_words, dtype)

    def spawn(self, n_children: int) -> Any:
        return np.random.SeedSequence(int(self.seed)).spawn(n_children)


def generator(seed: int) -> np.random.Generator:
    """Return Gymnasium's generator of a seed: ``gymnasium.utils.seeding.np_random(seed)[0]``."""
    if isinstance(seed, EpisodeSeed):
        known: Any = _Known(seed)  # which NumPy takes, and its stubs do not know
        return np.random.Generator(np.random.PCG64(known))
    return seeding.np_random(seed)[0]


def episode_seeds(seeds: Sequence[int] | NDArray[np.int64]) -> list[int]:
    """Return seeds below 2^32 that bring their words.

    Args:
        seeds: Whole numbers in [0, 2^32).
    """
    array = np.asarray(seeds, dtype=np.int64)
    prepared: list[int] = []
    for number, words in zip(array.tolist(), _pcg64_words(array), strict=True):
        seed = EpisodeSeed(number)
        seed.words = words
        prepared.append(seed)
    return prepared


def _pcg64_words(seeds: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return ``SeedSequence(seed).generate_state(4, np.uint64)`` of each seed, ``(n, 4)``."""
    constants = _constants(_INIT_A, _MULT_A)
    entropy = [seeds.astype(np.uint32), *(np.zeros(len(seeds), np.uint32) for _ in range(3))]
    pool = [_hashed(word, *next(constants)) for word in entropy]
    for source in range(_POOL):
        for target in range(_POOL):
            if source != target:
                other = _hashed(pool[source], *next(constants))
                mixed = _MIX_LEFT * pool[target] - _MIX_RIGHT * other
                pool[target] = mixed ^ (mixed >> _SHIFT)
    constants = _constants(_INIT_B, _MULT_B)
    halves = [_hashed(pool[i % _POOL], *next(constants)) for i in range(2 * _POOL)]
    low, high = (np.stack(halves[i::2], axis=1).astype(np.uint64) for i in (0, 1))
    words: NDArray[np.uint64] = low | (high << np.uint64(32))
    return words


def _constants(value: int, factor: int) -> Any:
    """Yield the pairs by which one word after the other is hashed."""
    while True:
        following = value * factor & 0xFFFFFFFF
        yield np.uint32(value), np.uint32(following)
        value = following


def _hashed(word: Words, before: np.uint32, after: np.uint32) -> Words:
    word = (word ^ before) * after
    return word ^ (word >> _SHIFT)

"""One registry for named things: refuses duplicates and answers a wrong name with the nearest."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

__all__ = ["Registry", "check_arguments", "nearest"]

T = TypeVar("T")


def nearest(name: str, valid: Iterable[str], what: str) -> str:
    """Return a sentence that says ``name`` is unknown and names the nearest valid ones."""
    options = sorted(valid)
    close = difflib.get_close_matches(name, options, n=3, cutoff=0.5)
    if close:
        return f"unknown {what} {name!r}: did you mean {' or '.join(map(repr, close))}?"
    return f"unknown {what} {name!r}: there are {', '.join(options) or 'none'}"


def check_arguments(given: Iterable[str], valid: Iterable[str], what: str) -> None:
    """Refuse unknown keyword arguments.

    Raises:
        TypeError: Naming the nearest valid ones.
    """
    options = list(valid)
    for name in given:
        if name not in options:
            raise TypeError(nearest(name, options, f"parameter of {what}"))


class Registry(Generic[T]):
    """Names to things; ``load`` is called once, at the first look-up.

    Args:
        what: What is registered, for messages (``"teacher"``).
        load: Imports whatever registers itself.
    """

    def __init__(self, what: str, load: Callable[[], None] = lambda: None) -> None:
        self.what = what
        self._load: Callable[[], None] | None = load
        self._things: dict[str, T] = {}

    def add(self, name: str, thing: T) -> None:
        """Register a thing.

        Raises:
            ValueError: If the name is taken by something else.
        """
        taken = self._things.get(name)
        if taken is not None and not _same_origin(taken, thing):
            raise ValueError(f"{self.what} {name!r} is already registered by {taken!r}")
        self._things[name] = thing

    def __getitem__(self, name: str) -> T:
        things = self.load()
        if name not in things:
            raise ValueError(nearest(name, things, self.what))
        return things[name]

    def __contains__(self, name: object) -> bool:
        return name in self.load()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.load()))

    def load(self) -> Mapping[str, T]:
        """Return all that is registered, loading it first."""
        if self._load is not None:
            load, self._load = self._load, None
            try:
                load()
            except BaseException:
                self._load = load  # half a registry must not pass for the whole one
                raise
        return self._things


def _same_origin(a: Any, b: Any) -> bool:
    """Tell whether two classes are one definition (a module run again, as notebooks do)."""
    return (getattr(a, "__module__", a), getattr(a, "__qualname__", a)) == (
        getattr(b, "__module__", b),
        getattr(b, "__qualname__", b),
    )

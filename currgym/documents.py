"""Files that may come from anywhere: read in one place, refused in one sentence, written whole.

Whatever a file of somebody else makes its reader trip over is one error, :class:`Damaged`, that
names the file; and what is written replaces the old file in one step, so that a kill leaves either
of the two and never half of one.
"""

from __future__ import annotations

import functools
import json
import math
import typing
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

from currgym.registry import nearest

__all__ = [
    "Damaged", "check_types", "checked", "fits", "read_json", "reading", "sentence", "write_whole",
]  # fmt: skip

T = TypeVar("T")


class Damaged(ValueError):
    """A file does not hold what it should; the message names it."""


def sentence(error: BaseException) -> str:
    """Return what an exception says, in one line; its type too where the text needs it."""
    text = " ".join(str(error).split())
    if isinstance(error, (ValueError, RuntimeError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def reading(path: Path, what: str = "is damaged") -> Iterator[None]:
    """Read a file, and whatever follows from its content, within this.

    Args:
        path: Named in the error.
        what: Said of it, before the reason.

    Raises:
        Damaged: For anything that its content makes go wrong.
        OSError: If the file cannot be read at all.
    """
    try:
        yield
    except (Damaged, OSError):
        raise
    except Exception as error:
        # A reader may trip over foreign content in any way there is; only here, and all of them.
        raise Damaged(f"{path} {what}: {sentence(error)}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Raises:
        Damaged: If it holds none.
        OSError: If the file cannot be read.
    """
    with reading(path):
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ValueError("it holds no object")
        return document


def write_whole(path: Path, text: str) -> None:
    """Write a text file, in one step for whoever reads it.

    Raises:
        OSError: If it cannot be written. What was there is untouched.
    """
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def checked(cls: type[T], given: Mapping[str, Any]) -> T:
    """Build a dataclass from a document, its fields' types checked.

    Args:
        cls: A dataclass whose annotations are plain types, ``X | None``, lists and dicts.
        given: Field -> value.

    Raises:
        ValueError: For an unknown field, a missing one, or a value of another type.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"expected a table of settings, got {type(given).__name__}")
    check_types(cls, given)
    return cls(**given)


def check_types(cls: type[Any], given: Mapping[str, Any]) -> None:
    """Check names and types of a dataclass's values, as :func:`checked` does.

    Raises:
        ValueError: For an unknown field, or a value of another type.
    """
    hints = _hints(cls)
    names = [f.name for f in fields(cls)]
    for name, value in given.items():
        if name not in names:
            raise ValueError(nearest(str(name), names, "entry"))
        if not fits(value, hints[name]):
            raise ValueError(f"{name} must be {called(hints[name])}, got {value!r:.80}")


@functools.cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def fits(value: Any, kind: Any) -> bool:
    """Tell whether a value out of JSON or TOML is of a type: whole numbers are numbers too."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if kind is None or kind is type(None):
        return value is None
    if origin in (typing.Union, UnionType):
        return any(fits(value, option) for option in inner)
    if origin is list:
        return isinstance(value, list) and all(fits(entry, inner[0]) for entry in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items()
        )
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is float:
        return isinstance(value, (int, float)) and not math.isnan(value)
    return isinstance(value, kind)


def called(kind: Any) -> str:
    options: Collection[Any] = typing.get_args(kind) if _is_union(kind) else (kind,)
    names = {int: "a whole number", float: "a number", str: "a text", type(None): "nothing"}
    return " or ".join(names.get(o, getattr(o, "__name__", str(o))) for o in options)


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, UnionType)

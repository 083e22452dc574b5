"""``--set part.name=value``: hyperparameters by name, checked and typed before anything runs."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from currgym.documents import fits
from currgym.registry import check_arguments, nearest
from currgym.students import students
from currgym.teaching import teacher_parameters, teachers

__all__ = [
    "parse_value",
    "split_assignments",
    "split_settings",
    "student_parameters",
    "typed_student_parameters",
    "typed_teacher_parameters",
]

PARTS = ("teacher", "student", "env", "run")


def split_assignments(items: Iterable[str]) -> dict[str, str]:
    """Return ``name=value`` texts as a mapping.

    Raises:
        ValueError: For a text without ``=``.
    """
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise ValueError(f"write NAME=VALUE, got {item!r}")
        found[name.strip()] = value
    return found


def split_settings(items: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return ``part.name=value`` texts by part.

    Raises:
        ValueError: For an unknown part.
    """
    parts: dict[str, dict[str, str]] = {part: {} for part in PARTS}
    for name, value in split_assignments(items).items():
        part, dot, rest = name.partition(".")
        if not dot or part not in PARTS:
            raise ValueError(
                f"--set {name}: write one of {', '.join(f'{p}.NAME=VALUE' for p in PARTS)}"
                if not dot
                else nearest(part, PARTS, "part of --set")
            )
        parts[part][rest] = value
    return parts


def parse_value(text: str) -> Any:
    """Return a value as written on a command line: JSON where it is JSON, else the text."""
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def typed(name: str, text: str, parameter: inspect.Parameter | None) -> Any:
    """Return a value checked against the parameter's annotation, as far as that is plain.

    Raises:
        ValueError: If it is of another type.
    """
    value = parse_value(text)
    if parameter is None:
        return value
    allowed = _plain_types(parameter.annotation)
    if not allowed or any(fits(value, kind) for kind in allowed):
        return float(value) if allowed and _only_float(allowed, value) else value
    if str in allowed:
        return text
    names = " or ".join("null" if kind is type(None) else kind.__name__ for kind in allowed)
    raise ValueError(f"{name} must be {names}, got {text!r}")


def _only_float(allowed: tuple[type, ...], value: Any) -> bool:
    return (
        isinstance(value, int)
        and not isinstance(value, bool)
        and float in allowed
        and (int not in allowed)
    )


def _plain_types(annotation: Any) -> tuple[type, ...]:
    """Return the plain types an annotation admits, or none where it says more than that."""
    options = (
        typing.get_args(annotation)
        if typing.get_origin(annotation) in (typing.Union, types.UnionType)
        else (annotation,)
    )
    plain = (bool, int, float, str, type(None))
    return tuple(options) if all(option in plain for option in options) else ()


def typed_teacher_parameters(name: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Return a teacher's parameters from texts.

    Raises:
        ValueError: For an unknown name (the nearest are named) or a value of another type.
    """
    known = teacher_parameters(teachers[name])
    try:
        check_arguments(given, known, f"teacher {name!r}")
    except TypeError as error:
        raise ValueError(str(error)) from None
    return {key: typed(f"teacher.{key}", text, known[key]) for key, text in given.items()}


def student_parameters(name: str) -> dict[str, inspect.Parameter]:
    """Return the parameters that ``--set student.NAME`` reaches (imports the student)."""
    if students[name].kind == "rl":
        from currgym.students.rl import student_parameters as rl_parameters

        return rl_parameters(name)
    found = inspect.signature(students[name].load().__init__, eval_str=True).parameters
    return {k: p for k, p in found.items() if k not in ("self", "family", "seed", "task_space")}


def typed_student_parameters(name: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Return a student's parameters from texts; nothing is imported where there are none.

    Raises:
        ValueError: For an unknown name (the nearest are named) or a value of another type.
    """
    if not given:
        return {}
    known = student_parameters(name)
    try:
        check_arguments(given, known, f"student {name!r}")
    except TypeError as error:
        raise ValueError(str(error)) from None
    return {key: typed(f"student.{key}", text, known[key]) for key, text in given.items()}

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
from currgym.runs.config import environment_spec
from currgym.students import students
from currgym.teaching import teacher_parameters, teachers

__all__ = [
    "parse_value",
    "split_assignments",
    "split_settings",
    "student_parameters",
    "typed_env_parameters",
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


def check_required(name: str, given: Mapping[str, Any]) -> None:
    """Check that a teacher is given what a run of it must give.

    Raises:
        ValueError: If a parameter is missing or None.
    """
    known = teachers[name].required if name in teachers else frozenset()
    missing = sorted(key for key in known if given.get(key) is None)
    if missing:
        value = "FILE" if missing[0] in teachers[name].files else "VALUE"
        raise ValueError(
            f"teacher {name!r} needs {', '.join(missing)}: --set teacher.{missing[0]}={value}"
        )


def student_parameters(
    name: str, given: Mapping[str, Any] | None = None
) -> dict[str, inspect.Parameter]:
    """Return the parameters that ``--set student.NAME`` reaches (imports the student).

    Args:
        name: Of the student.
        given: What is chosen already: it may decide what else there is to choose.
    """
    if students[name].kind == "rl":
        known: dict[str, inspect.Parameter] = students[name].student().parameters(name, given or {})
        return known
    found = inspect.signature(students[name].load().__init__, eval_str=True).parameters
    return {k: p for k, p in found.items() if k not in ("self", "family", "seed", "task_space")}


def typed_student_parameters(name: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Return a student's parameters from texts; nothing is imported where there are none.

    Raises:
        ValueError: For an unknown name (the nearest are named) or a value of another type.
    """
    if not given:
        return {}
    known = student_parameters(name, given)
    try:
        check_arguments(given, known, f"student {name!r}")
    except TypeError as error:
        raise ValueError(str(error)) from None
    return {key: typed(f"student.{key}", text, known[key]) for key, text in given.items()}


def typed_env_parameters(env: str, given: Mapping[str, str]) -> dict[str, Any]:
    """Return an environment's keyword arguments from texts.

    A task parameter's name stands for its entry in ``tasks``: a number fixes it, ``[low, high]``
    opens it.

    Args:
        env: A registered id.
        given: Names and texts.

    Raises:
        ValueError: For an unknown name (the nearest are named) or a value of another type.
    """
    if not given:
        return {}
    creator, known = _creator(env)
    if _takes_anything(known):
        return {key: parse_value(text) for key, text in given.items()}
    kinds = {p.name: p.kind for p in getattr(creator, "parameters", ())}
    found: dict[str, Any] = {}
    tasks: dict[str, Any] = {}
    for key, text in given.items():
        if key in known:
            found[key] = typed(f"env.{key}", text, known[key])
        elif key in kinds:
            tasks[key] = _task_range(key, text, kinds[key])
        else:
            raise ValueError(nearest(key, [*known, *kinds], f"parameter of {env}"))
    if tasks:
        found["tasks"] = {**(found.get("tasks") or {}), **tasks}
    return found


def check_observes_task(env: str) -> None:
    """Check that an environment takes ``observe_task``.

    Args:
        env: A registered id.

    Raises:
        ValueError: If it does not.
    """
    known = _creator(env)[1]
    if "observe_task" not in known and not _takes_anything(known):
        raise ValueError(
            f"{env} takes no observe_task: give its entry point that argument and pass it on to "
            "currgym.ParameterizedEnv(..., observe_task=observe_task)"
        )


def _creator(env: str) -> tuple[Any, dict[str, inspect.Parameter]]:
    """Return what makes an environment, and the arguments it takes."""
    from gymnasium.envs.registration import load_env_creator

    entry = environment_spec(env).entry_point
    creator: Any = load_env_creator(entry) if isinstance(entry, str) else entry
    return creator, _signature(creator) if creator is not None else {}


def _takes_anything(known: Mapping[str, inspect.Parameter]) -> bool:
    """Tell whether it alone knows what it takes."""
    return any(p.kind is p.VAR_KEYWORD for p in known.values())


def _signature(creator: Any) -> dict[str, inspect.Parameter]:
    try:
        found = inspect.signature(creator, eval_str=True).parameters
    except NameError:  # a type imported for checkers only: its name will do
        found = inspect.signature(creator).parameters
    return dict(found)


def _task_range(name: str, text: str, kind: Any) -> Any:
    """Return a task parameter's value or range from its text."""
    value = parse_value(text)
    ends = value if isinstance(value, list) and len(value) == 2 else [value]
    if all(fits(end, float) for end in ends) or (isinstance(kind, tuple) and value in kind):
        return value
    raise ValueError(f"env.{name} must be a number or [low, high], got {text!r}")

"""State trees on disk: JSON for structure, ``.npz`` for arrays, torch files for tensors. No pickle.

A state is a nested dict with string keys; leaves are numbers, strings, None, lists of those, NumPy
arrays, or, below a key named ``"torch"``, whatever ``torch.load(weights_only=True)`` takes back.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from currgym.documents import read_json, reading

__all__ = ["load_state", "save_state"]

_ARRAY = "$array"
_TORCH = "$torch"


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Write a state tree into an existing folder (``state.json``, ``arrays.npz``, ``tensors.pt``).

    Raises:
        TypeError: For a leaf that none of the three can hold.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    tensors: dict[str, Any] = {}
    tree = _split(state, "", arrays, tensors)
    (folder / "state.json").write_text(json.dumps(tree))
    with (folder / "arrays.npz").open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    if tensors:
        import torch

        torch.save(tensors, folder / "tensors.pt")


def load_state(folder: Path) -> dict[str, Any]:
    """Read back what :func:`save_state` wrote.

    Raises:
        Damaged: If it holds anything but plain arrays, numbers and tensors.
        OSError: If it cannot be read at all.
    """
    with reading(folder):
        tree = read_json(folder / "state.json")
        with np.load(folder / "arrays.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        joined: dict[str, Any] = _join(tree, arrays, _load_tensors(folder / "tensors.pt"))
        return joined


def _load_tensors(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    import torch

    try:
        tensors: dict[str, Any] = torch.load(path, weights_only=True)
    except pickle.UnpicklingError:  # whose text recommends to load it all the same
        raise ValueError(f"{path.name} holds more than tensors, which is never loaded") from None
    return tensors


def _split(value: Any, path: str, arrays: dict[str, Any], tensors: dict[str, Any]) -> Any:
    if isinstance(value, Mapping):
        result: dict[str, Any] = {}
        for key, child in value.items():
            if not isinstance(key, str):
                raise TypeError(
                    f"keys of a state must be strings, got {key!r} in {path or 'state'}"
                )
            at = f"{path}.{key}" if path else key
            if key == "torch":
                tensors[at] = child
                result[key] = {_TORCH: at}
            else:
                result[key] = _split(child, at, arrays, tensors)
        return result
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            raise TypeError(f"{path} is an array of objects: keep numbers or strings")
        arrays[path] = value
        return {_ARRAY: path}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_split(child, f"{path}.{i}", arrays, tensors) for i, child in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{path} is a {type(value).__name__}: a state holds plain arrays and numbers")


def _join(value: Any, arrays: Mapping[str, Any], tensors: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        if set(value) == {_ARRAY}:
            return arrays[value[_ARRAY]]
        if set(value) == {_TORCH}:
            return tensors[value[_TORCH]]
        return {key: _join(child, arrays, tensors) for key, child in value.items()}
    if isinstance(value, list):
        return [_join(child, arrays, tensors) for child in value]
    return value

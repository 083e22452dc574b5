"""Malformed files of every kind, fed to the commands that load them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_path = Path(__file__).parents[1] / "experiments" / "fuzz.py"
_spec = importlib.util.spec_from_file_location("fuzz", _path)
assert _spec is not None
assert _spec.loader is not None
fuzz = importlib.util.module_from_spec(_spec)
sys.modules["fuzz"] = fuzz
_spec.loader.exec_module(fuzz)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # what is said of odd numbers is not the point
def test_thirty_malformed_inputs_give_clean_errors() -> None:
    result = fuzz.fuzz(range(5000, 5030))
    assert result["failures"] == []
    assert result["exit_codes"].get("2", 0) > 3  # they were really refused


def test_a_planted_pickle_would_run_if_it_were_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trap works: what the experiment looks for would be seen."""
    import numpy as np
    import torch

    fuzz.set_trap(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path)
    try:
        fuzz.plant_tensors(tmp_path / "tensors.pt", np.random.default_rng(0))
        torch.load(tmp_path / "tensors.pt", weights_only=False)
        assert sys.modules.pop(fuzz.TRAP)
        np.savez(tmp_path / "arrays.npz", a=np.zeros(1))
        fuzz.plant_npz(tmp_path / "arrays.npz", np.random.default_rng(0))
        with np.load(tmp_path / "arrays.npz", allow_pickle=True) as file:
            assert file["a"].shape == (1,)
        assert sys.modules.pop(fuzz.TRAP)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop(fuzz.TRAP, None)

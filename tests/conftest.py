"""One thread for torch, and the hooks of ``tests/impostors.py``."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Before anything imports torch or BLAS: two workers with all threads each are slower than alone.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

FAILED: list[dict[str, Any]] = []


def pytest_configure(config: pytest.Config) -> None:
    if "CURRGYM_IMPOSTOR" not in os.environ:
        return
    path = Path(__file__).parent / "impostors.py"
    spec = importlib.util.spec_from_file_location("impostors", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["impostors"] = module
    spec.loader.exec_module(module)
    module.install_from_environment()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if call.excinfo is not None and call.when == "call":
        error = call.excinfo.value
        FAILED.append(
            {
                "test": item.nodeid,
                "error": type(error).__name__,
                "assertion": isinstance(error, AssertionError),
            }
        )
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if "CURRGYM_IMPOSTOR_REPORT" in os.environ:
        Path(os.environ["CURRGYM_IMPOSTOR_REPORT"]).write_text(json.dumps(FAILED))

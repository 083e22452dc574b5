"""The planted faults, importable by name."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_spec = importlib.util.spec_from_file_location("faulty", Path(__file__).with_name("faulty.py"))
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
sys.modules.setdefault("faulty", _module)
if sys.modules["faulty"] is _module:
    _spec.loader.exec_module(_module)

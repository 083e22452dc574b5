"""Studies: environments x teachers x students x seeds, planned, run where there is room, kept.

Data flows one way: a :class:`StudySpec` (a TOML file) makes cells, cells that the :class:`Store`
lacks become jobs of an engine, and what comes back goes to the store, which pages and tables read.
"""

from currgym.statistics import Plan
from currgym.studies.arms import Arm, with_controls, with_reference
from currgym.studies.conclusions import (
    ArmConclusion,
    ArmValues,
    Conclusions,
    conclude_across,
    conclude_panel,
)
from currgym.studies.endpoints import ENDPOINTS, Endpoint
from currgym.studies.freezing import freeze, frozen_hash
from currgym.studies.spec import Panel, StudySpec
from currgym.studies.store import Store, StoredRun
from currgym.studies.study import Study, StudyProgress

__all__ = [
    "ENDPOINTS", "Arm", "ArmConclusion", "ArmValues", "Conclusions", "Endpoint", "Panel", "Plan",
    "Store", "StoredRun", "Study", "StudyProgress", "StudySpec", "conclude_across",
    "conclude_panel", "freeze", "frozen_hash", "with_controls", "with_reference",
]  # fmt: skip

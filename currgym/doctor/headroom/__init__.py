"""Will a curriculum help here, and which? Forks of a uniform run, cell by cell.

:func:`measure` does the work, :func:`~currgym.doctor.headroom.advice.advise` says what it means.
"""

from currgym.doctor.headroom.advice import Advice, advise, knowing, tables
from currgym.doctor.headroom.analysis import Forks, Grid, Summary, summarise
from currgym.doctor.headroom.cells import Cells
from currgym.doctor.headroom.measure import Headroom, Plan, measure

__all__ = [
    "Advice", "Cells", "Forks", "Grid", "Headroom", "Plan", "Summary", "advise", "knowing",
    "measure", "summarise", "tables",
]  # fmt: skip

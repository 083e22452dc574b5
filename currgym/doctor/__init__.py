"""Advice on an environment: is its plumbing sound, and would a curriculum help?

:func:`diagnose` examines an environment, :func:`diagnose_loop` a training loop's stack of them;
:mod:`currgym.doctor.headroom` measures what a curriculum could gain.
"""

from currgym.doctor.examination import diagnose, diagnose_loop
from currgym.doctor.findings import Diagnosis, Finding
from currgym.doctor.subject import Subject, subject_of

__all__ = ["Diagnosis", "Finding", "Subject", "diagnose", "diagnose_loop", "subject_of"]

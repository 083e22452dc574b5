"""Looking on while a run or a study is at work, or after it; nothing is ever written.

Data flows one way: watchers read folders (:mod:`currgym.watching.data`), and a terminal or a local
page draws what they saw.
"""

from currgym.watching.data import RunView, StudyView, watcher

__all__ = ["RunView", "StudyView", "watcher"]

"""The page under construction: what sections share, and the charts that they have asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from currgym.report.colours import colours
from currgym.report.data import Arm, Study
from currgym.report.elements import capital, controls, escape
from currgym.report.plotting import Chart

__all__ = ["Sheet"]


@dataclass
class Sheet:
    """Collects the charts' specifications while sections are written.

    Attributes:
        study: What the page is about.
        charts: Element id -> what the script draws there.
        palette: Label -> colour, the same in all charts.
    """

    study: Study
    charts: dict[str, dict[str, Any]] = field(default_factory=dict)
    palette: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        labels = [arm.label for arm in self.study.arms]
        if self.study.supervised is not None:
            labels += [arm.label for arm in self.study.supervised.arms]
        self.palette = colours(labels, self.study.baseline)

    def name(self, section: str, study: Study) -> str:
        """Return a section's id; those of the study shown beside end in ``-supervised``."""
        return section if study is self.study else f"{section}-supervised"

    def figure(self, name: str, chart: Chart, caption: str = "", heading: str = "") -> str:
        """Register a chart and return the element that will hold it."""
        name = f"chart-{name}"
        states = [
            {
                "name": s.name, "data": s.data, "layout": s.layout | {"height": chart.height},
                **({"about": s.about} if s.about else {}),
            }
            for s in chart.states
        ]  # fmt: skip
        spec: dict[str, Any] = {"start": chart.start, "states": states}
        if chart.group:
            spec |= {"group": chart.group, "moments": [list(m) for m in chart.moments]}
        self.charts[name] = spec
        below = f"<figcaption>{caption}</figcaption>" if caption else ""
        about = ""
        if any(s.about for s in chart.states):
            about = f'<p class="about">{escape(capital(chart.states[chart.start].about))}</p>'
        own = "" if chart.group else controls(chart)
        drawn = self.box(name, chart.height, chart.says)
        return f"<figure>{heading}{own}{drawn}{about}{below}</figure>"

    @staticmethod
    def box(name: str, height: int, says: str) -> str:
        """Return the element that a chart is drawn into."""
        return (
            f'<div class="chart" id="{name}" role="img" aria-label="{escape(says)}" '
            f'style="height:{height}px"></div>'
        )

    def chip(self, arm: Arm) -> str:
        """Return an arm's mark in its colour."""
        return f'<span class="chip" style="background:{self.palette[arm.label]}"></span>'

    def heading(self, arm: Arm, more: str = "") -> str:
        """Return an arm's name over its panel."""
        extra = f' <span class="quiet small">{more}</span>' if more else ""
        return f"<h3>{self.chip(arm)}{escape(arm.label)}{extra}</h3>"

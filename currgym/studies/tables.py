"""Conclusions as tables: tidy rows, a table on the terminal, and LaTeX for a paper."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from currgym.statistics import Interval
from currgym.studies.conclusions import AcrossPanels, ArmConclusion, Conclusions
from currgym.studies.endpoints import ENDPOINTS, Endpoint

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["across_rows", "across_table", "interval_text", "latex", "rows", "table"]

CROSSES = "†"
LEGEND = f"{CROSSES} is told other things than the baseline: not the teacher's skill alone"


def interval_text(interval: Interval | None, factor: float = 1.0, signed: bool = False) -> str:
    """Return ``56.1 [50.0, 62.2]``; without brackets where there is no interval.

    >>> interval_text(Interval(0.561, 0.5, 0.622, 8, ""), 100.0)
    '56.1 [50.0, 62.2]'
    """
    if interval is None:
        return "-"
    sign = "+" if signed else ""
    places = ".1f" if factor != 1.0 else ".4g"

    def text(value: float) -> str:
        return f"{factor * value:{sign}{places}}"

    if not interval.known:
        return text(interval.estimate)
    return f"{text(interval.estimate)} [{text(interval.low)}, {text(interval.high)}]"


def _ends(name: str, interval: Interval | None) -> dict[str, Any]:
    if interval is None:
        return {name: math.nan, f"{name}.low": math.nan, f"{name}.high": math.nan}
    return {name: interval.estimate, f"{name}.low": interval.low, f"{name}.high": interval.high}


def rows(panel: str, found: Conclusions) -> list[dict[str, Any]]:
    """Return one row an arm with all that was concluded, in the endpoint's unit.

    Args:
        panel: Its label.
        found: What was concluded there.
    """
    return [
        {
            "panel": panel, "arm": arm.arm, "endpoint": found.endpoint,
            "baseline": found.baseline or "", "control": arm.control,
            "other_information": arm.crosses, "seeds": 0 if arm.mean is None else arm.mean.n,
            **_ends("mean", arm.mean), **_ends("cvar", arm.tail),
            **_ends("difference", arm.difference),
            "p": math.nan if arm.difference is None else arm.difference.p,
            **_ends("simultaneous", arm.simultaneous),
            "p.holm": math.nan if arm.adjusted_p is None else arm.adjusted_p,
            **{
                key: value
                for part in ("marginal", "order", "adaptivity")
                for key, value in _ends(
                    part, arm.parts.parts()[part] if arm.parts else None
                ).items()
            },
            "method": "" if arm.difference is None else arm.difference.method,
            "verdict": arm.verdict.word, "reason": arm.verdict.reason,
            **_protocol(found, arm),
            "seeds_needed": math.nan if arm.verdict.needed is None else arm.verdict.needed,
        }
        for arm in found.arms
    ]  # fmt: skip


def _protocol(found: Conclusions, arm: ArmConclusion) -> dict[str, Any]:
    """Return how a verdict's claim was tried: as it was made, or how it differs."""
    plan = found.plan if arm.verdict.label else None
    if plan is None:
        return {"protocol": "", "scale": math.nan, "differs": ""}
    scale = 1.0 if plan.scale is None else plan.scale
    return {"protocol": plan.protocol, "scale": scale, "differs": plan.differs}


def _factor(endpoint: Endpoint) -> float:
    return 100.0 if endpoint.percent else 1.0


def _label(arm: ArmConclusion) -> str:
    return arm.arm + (" (control)" if arm.control else "")


def table(panel: str, found: Conclusions) -> Table:
    """Return a panel's conclusions as a table for the terminal.

    Args:
        panel: Its label.
        found: What was concluded there.
    """
    from rich.table import Table

    endpoint = ENDPOINTS[found.endpoint]
    factor, unit = _factor(endpoint), ", %" if endpoint.percent else ""
    parts = any(arm.parts for arm in found.arms)
    named = ["arm", "seeds", f"{endpoint.name}{unit}", "worst tenth", f"from {found.baseline}"]
    named += ["tasks", "order", "adaptivity"] if parts else []
    shown = Table(
        *named, "p (Holm)", "verdict", box=None, title_justify="left",
        title=f"{panel}: {endpoint.says}",
    )  # fmt: skip
    for arm in found.arms:
        gap = interval_text(arm.difference, factor, signed=True)
        entries = [
            _label(arm), str(0 if arm.mean is None else arm.mean.n),
            interval_text(arm.mean, factor), interval_text(arm.tail, factor),
            gap + (CROSSES if arm.crosses and arm.difference is not None else ""),
        ]  # fmt: skip
        if parts:
            each = list(arm.parts.parts().values()) if arm.parts else [None] * 3
            entries += [interval_text(part, factor, signed=True) for part in each]
        entries.append("-" if arm.adjusted_p is None else f"{arm.adjusted_p:.2g}")
        shown.add_row(*entries, "baseline" if arm.arm == found.baseline else _verdict(arm))
    return shown


def _verdict(arm: ArmConclusion) -> str:
    needed = f" (about {arm.verdict.needed:,} seeds would decide)" if arm.verdict.needed else ""
    return f"{arm.verdict.text}{needed}"


def across_rows(found: AcrossPanels) -> list[dict[str, Any]]:
    """Return one row an arm of what several environments show together."""
    return [
        {
            "arm": arm.arm, "endpoint": found.endpoint, "panels": len(found.panels),
            "seeds": len(found.seeds), **_ends("iqm", arm.interquartile_mean),
            **_ends("optimality_gap", arm.optimality_gap),
            **_ends("improvement", arm.improvement),
            "improvement.p.holm": math.nan if arm.adjusted_p is None else arm.adjusted_p,
        }
        for arm in found.arms
    ]  # fmt: skip


def across_table(found: AcrossPanels) -> Table:
    """Return what several environments show together as a table for the terminal."""
    from rich.table import Table

    shown = Table(
        "arm", "interquartile mean, %", "optimality gap, %", f"better than {found.baseline}, %",
        "p (Holm)", box=None, title_justify="left",
        title=f"{len(found.panels)} environments together: {ENDPOINTS[found.endpoint].says}",
    )  # fmt: skip
    for arm in found.arms:
        shown.add_row(
            arm.arm, interval_text(arm.interquartile_mean, 100.0),
            interval_text(arm.optimality_gap, 100.0), interval_text(arm.improvement, 100.0),
            "-" if arm.adjusted_p is None else f"{arm.adjusted_p:.2g}",
        )  # fmt: skip
    return shown


def latex(panels: Mapping[str, Conclusions], origins: Mapping[str, str] | None = None) -> str:
    r"""Return a LaTeX table: arms by panels, each with mean, difference and verdict.

    Needs the package ``booktabs``. Shares are in per cent;
    ``\dag`` marks arms that are told other things than the baseline, ``\ddag`` those measured
    elsewhere.

    Args:
        panels: Label to what was concluded there.
        origins: Label of an arm to where its runs come from, where not from this study.
    """
    found = list(panels.values())
    labels = list(dict.fromkeys(arm.arm for c in found for arm in c.arms))
    heads, rules = [], []
    for number, panel in enumerate(panels):
        first = 2 + 3 * number
        heads.append(rf"\multicolumn{{3}}{{c}}{{{_tex(panel)}}}")
        rules.append(rf"\cmidrule(lr){{{first}-{first + 2}}}")
    columns = []
    for c in found:
        unit = r" (\%)" if ENDPOINTS[c.endpoint].percent else ""
        columns += [f"{_tex(c.endpoint)}{unit}", f"from {_tex(c.baseline or '')}", "verdict"]
    lines = [
        rf"\begin{{tabular}}{{l{'rrl' * len(found)}}}",
        r"\toprule",
        " & ".join(["", *heads]) + r" \\",
        " ".join(rules),
        " & ".join(["arm", *columns]) + r" \\",
        r"\midrule",
    ]
    for label in labels:
        entries = [_tex(label) + (r"$^\ddag$" if label in (origins or {}) else "")]
        for c in found:
            entries += _latex_entries(c, c.by_label.get(label))
        lines.append(" & ".join(entries) + r" \\")
    lines.append(r"\bottomrule")
    width = 1 + 3 * len(found)
    for origin in sorted(set((origins or {}).values())):
        note = rf"\footnotesize $^\ddag$ {_tex(origin)}"
        lines.append(rf"\multicolumn{{{width}}}{{l}}{{{note}}} \\")
    for said in dict.fromkeys(c.tried for c in found if c.tried):
        note = rf"\footnotesize {_tex(said)}"
        lines.append(rf"\multicolumn{{{width}}}{{l}}{{{note}}} \\")
    lines += [r"\end{tabular}", ""]
    return "\n".join(lines)


def _latex_entries(found: Conclusions, arm: ArmConclusion | None) -> list[str]:
    if arm is None or arm.mean is None:
        return ["--", "--", _tex(arm.verdict.text) if arm is not None and arm.verdict.final else ""]
    factor = _factor(ENDPOINTS[found.endpoint])
    if arm.arm == found.baseline:
        return [interval_text(arm.mean, factor), "--", "baseline"]
    gap = interval_text(arm.difference, factor, signed=True).replace("-", "$-$")
    mark = r"$^\dag$" if arm.crosses and arm.difference is not None else ""
    mean = interval_text(arm.mean, factor).replace("-", "$-$")
    return [mean, gap + mark, _tex(arm.verdict.text)]


_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _tex(text: str) -> str:
    return "".join(_SPECIAL.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)

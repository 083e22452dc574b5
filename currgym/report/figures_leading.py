"""The page's three leading figures for papers, from the same numbers."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from currgym.report.charts import dense_top
from currgym.report.colours import CYCLE, GAIN_RAMP, PART_COLOURS, STATE_COLOURS
from currgym.report.data import Study
from currgym.report.figures import (
    MASTERY_MAP,
    STEPS_FORMAT,
    STEPS_MAP,
    STYLE,
    dress,
    frame,
    readable,
    study_colours,
)  # fmt: skip
from currgym.report.frontier import STATES, frontiers, mastery_strip
from currgym.report.gains import PARTS, gains, measure_of, scale_of
from currgym.report.maps import steps_map, strips_of
from currgym.report.models import strip_model
from currgym.report.plotting import time_title
from currgym.report.signal import Signal, read_signal, task_names, transfers
from currgym.report.strips import PERIODS, shown_run

__all__ = ["frontier", "gain", "leading_figures", "signal", "transfer"]


def leading_figures(study: Study) -> dict[str, Figure]:
    """Return the leading figures that a study's data allow, by file name."""
    drawn = {"gain": gain(study), "frontier": frontier(study)}
    found = read_signal(study.folder)
    if found is not None and found.forks:
        drawn["signal"] = signal(found)
        drawn["transfer"] = transfer(found)
    return {name: figure for name, figure in drawn.items() if figure is not None}


def gain(study: Study) -> Figure | None:
    """Draw where the gain comes from, one row a teacher; None where nothing is compared."""
    found = gains(study)
    metric, concluded = measure_of(study), study.conclusions()
    margin = concluded.smallest_effect
    margin = None if margin is None else margin * metric.factor
    scale = scale_of(found, margin, metric) if found else None
    if scale is None:
        return None
    palette = study_colours(study)
    with mpl.rc_context(STYLE):
        rows = sum(1.6 + 0.75 * len(g.parts) for g in found)
        figure = Figure(figsize=(6.4, 0.9 + 0.3 * rows), layout="constrained")
        ax = figure.subplots()
        if margin is not None:
            ax.axvspan(-margin, margin, color="#F0EAD8", linewidth=0)
        ax.axvline(0.0, color="#8A8A8A", linewidth=0.8)
        y, ticks, names = 0.0, [], []
        for one in found:
            colour = palette[one.arm.label]
            ax.scatter(
                one.seeds, [y + 0.38] * len(one.seeds), s=14, color=colour, alpha=0.35, linewidth=0
            )
            if one.total is not None:
                _whisker(ax, one.total, y, colour, 2.4, 5)
            ticks.append(y)
            names.append(f"{one.arm.label}{'†' if one.conclusion.crosses else ''}")
            y += 0.4
            for i, (name, part) in enumerate(one.parts.items()):
                y += 0.75
                ax.barh(y, part.estimate, 0.45, color=PART_COLOURS[i], alpha=0.6)
                _whisker(ax, part, y, "#333333", 1.0, 3)
                ticks.append(y)
                names.append(PARTS[name])
            y += 1.2
        ax.set_yticks(ticks, names)
        heads = {one.arm.label for one in found}
        for label in ax.get_yticklabels():
            if label.get_text().rstrip("†") in heads:
                label.set_fontweight("bold")
                label.set_color(readable(palette[label.get_text().rstrip("†")]))
        ax.set_xlim(scale.low, scale.high)
        ax.set_ylim(y - 0.4, -0.8)
        ax.tick_params(axis="y", length=0)
        unit = " (points)" if metric.name == "mastered" else ""
        ax.set_xlabel(
            f"difference from {study.baseline}, {metric.label.removesuffix(' (%)')}{unit}"
        )
        ax.grid(axis="x", color="#E6E6E6", linewidth=0.6)
        ax.spines["left"].set_visible(False)
    return figure


def _whisker(ax: Any, interval: Any, y: float, colour: str, width: float, size: float) -> None:
    if interval.known:
        ax.plot([interval.low, interval.high], [y, y], color=colour, linewidth=width)
    ax.plot([interval.estimate], [y], "s", color=colour, markersize=size)


def frontier(study: Study) -> Figure | None:
    """Draw steps, teacher and mastery over time, a column an arm; None without a task axis.

    Replays of other arms' tasks are left out.
    """
    views = strips_of(study)
    arms = [arm for arm in study.arms if not arm.parameters.get("of")]
    if not views:
        return None
    view = views[0]
    maps = {arm.label: steps_map(arm.shown, view, PERIODS) for arm in arms}
    arms = [arm for arm in arms if maps[arm.label].steps.sum() > 0]
    if not arms:
        return None
    known = frontiers(study, PERIODS)
    palette = study_colours(study)
    top = dense_top([maps[arm.label] for arm in arms])
    supervised = study.kind == "supervised" or study.metric.name != "mastered"
    mastered = {arm.label: mastery_strip(arm, view, study.span) for arm in arms}
    rows = ["steps"]
    rows += [] if supervised or not any(mastered.values()) else ["mastered"]
    rows += ["states"] if known else []
    with mpl.rc_context(STYLE):
        heights = {"steps": 1.5, "mastered": 1.1, "states": 0.8}
        figure = Figure(
            figsize=(1.1 + 2.1 * len(arms), 0.9 + sum(heights[r] for r in rows)),
            layout="constrained",
        )
        grid = figure.subplots(
            len(rows), len(arms), squeeze=False, sharex=True,
            gridspec_kw={"height_ratios": [heights[r] for r in rows]},
        )  # fmt: skip
        image: dict[str, Any] = {}
        for column, arm in enumerate(arms):
            colour = palette[arm.label]
            for row, what in enumerate(rows):
                ax = grid[row, column]
                if what == "steps":
                    found = maps[arm.label]
                    image[what] = ax.pcolormesh(
                        found.times, found.edges[0], np.ma.masked_invalid(found.density).T,
                        cmap=STEPS_MAP, norm=PowerNorm(0.5, 0.0, top), rasterized=True,
                    )  # fmt: skip
                    _model(ax, arm, view, colour)
                    title = arm.label
                    if arm.label in known:
                        title += (
                            f"\nfrontier share {100 * known[arm.label].frontier.estimate:.0f} %"
                        )
                    ax.set_title(title, color=readable(colour), fontweight="bold", fontsize=9)
                elif what == "mastered":
                    strip = mastered[arm.label]
                    if strip is not None:
                        image[what] = ax.pcolormesh(
                            strip.times, strip.edges, 100 * np.ma.masked_invalid(strip.share).T,
                            cmap=MASTERY_MAP, norm=Normalize(0, 100), rasterized=True,
                        )  # fmt: skip
                elif arm.label in known:
                    one = known[arm.label]
                    shares = np.nan_to_num(100.0 * one.shares.T)
                    ax.stackplot(
                        0.5 * (one.times[1:] + one.times[:-1]), shares, colors=STATE_COLOURS,
                        step="mid", labels=STATES, linewidth=0,
                    )  # fmt: skip
                    ax.set_ylim(0, 100)
                if what != "states":
                    dress(ax, view.axes[0], "y")
                    ax.set_ylabel(view.axes[0].short if column == 0 else "")
                elif column == 0:
                    ax.set_ylabel("steps (%)")
                if column:
                    ax.tick_params(labelleft=False)
                frame(ax)
                ax.set_xlim(0, study.span)
                ax.xaxis.set_major_formatter(STEPS_FORMAT)
                ax.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
            grid[-1, column].set_xlabel(time_title(study))
        for row, what in enumerate(rows):
            if what in image:
                bar = figure.colorbar(image[what], ax=grid[row].tolist(), pad=0.01, aspect=12)
                bar.outline.set_visible(False)
                bar.set_label("density" if what == "steps" else "mastered (%)", fontsize=8)
        if known:
            handles, labels = grid[-1, 0].get_legend_handles_labels()
            figure.legend(
                handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8
            )
    return figure


def _model(ax: Any, arm: Any, view: Any, colour: str) -> None:
    run = shown_run(arm)
    if run is None:
        return
    model = strip_model(run, view)
    for column, style, width in ((0, ":", 0.8), (2, ":", 0.8), (1, "-", 1.3)):
        ax.plot(model.steps, model.preview[:, column], style, color="black", linewidth=width)
    for step, low, middle, high, strength in model.pieces.tolist():
        ax.plot([step, step], [low, high], color=colour, linewidth=2, alpha=0.8)
        ax.plot(
            [step],
            [middle],
            "o",
            color="white",
            markeredgecolor=colour,
            markersize=2 + 2 * strength,
        )


def signal(found: Signal) -> Figure:
    """Draw the best known signal's scores against the gain, and all correlations over time."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        means = {name: np.nanmean([*found.over_time(name), -2.0]) for name in found.scores}
        best = max(means, key=lambda name: means[name])
        for i, step in enumerate(found.steps):
            share = 0.25 + 0.75 * i / max(len(found.steps) - 1, 1)
            for fork in found.at(step):
                if best in fork.scores:
                    left.errorbar(
                        fork.scores[best], fork.gain, fork.gain_se, fmt="o", markersize=3,
                        color=STEPS_MAP(share), elinewidth=0.5, linewidth=0,
                    )  # fmt: skip
        left.axhline(0.0, color="#999999", linewidth=0.7)
        left.set_xlabel(f"score: {best} (darker: later)")
        left.set_ylabel("gain of training there")
        ceiling = found.ceiling()
        if np.isfinite(ceiling).any():
            right.plot(found.steps, ceiling, "--", color="black", label="noise ceiling")
        for i, name in enumerate(found.scores):
            right.plot(
                found.steps, found.over_time(name), "-o", markersize=4,
                color=CYCLE[i % len(CYCLE)], label=name,
            )  # fmt: skip
        right.axhline(0.0, color="#999999", linewidth=0.7)
        right.set_ylim(-1.05, 1.05)
        right.set_ylabel("rank correlation with the gain")
        right.set_xlabel("environment steps")
        right.xaxis.set_major_formatter(STEPS_FORMAT)
        right.legend(frameon=False, fontsize=7)
    return figure


GAIN_MAP = LinearSegmentedColormap.from_list("currgym.gain", GAIN_RAMP)


def transfer(found: Signal) -> Figure | None:
    """Draw the gain on each task of training on each, one panel a checkpoint; None without any."""
    tables = transfers(found)
    tables = tables[1:] if len(tables) > 2 else tables  # all checkpoints, and each: enough apart
    if not tables:
        return None
    names = task_names(found)
    with mpl.rc_context({**STYLE, "font.size": 8}):
        across = min(3, len(tables))
        down = -(-len(tables) // across)
        figure = Figure(figsize=(0.9 + 2.7 * across, 0.4 + 2.9 * down), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        image = None
        for i, one in enumerate(tables):
            ax = grid[i // across, i % across]
            image = ax.imshow(
                np.ma.masked_invalid(one.gain), cmap=GAIN_MAP, norm=Normalize(-one.top, one.top)
            )
            ax.set_title(one.name)
            if i % across == 0:
                ax.set_ylabel("trained on")
            if i // across == down - 1:
                ax.set_xlabel(f"gain on ({', '.join(found.names)})")
            every = range(0, len(names), -(-len(names) // 16))
            ax.set_xticks(list(every), [names[j] for j in every], rotation=90, fontsize=5)
            ax.set_yticks(list(every), [names[j] for j in every], fontsize=5)
        for i in range(len(tables), across * down):
            grid[i // across, i % across].set_axis_off()
        if image is not None:
            bar: Any = figure.colorbar(image, ax=grid.ravel().tolist(), shrink=0.8, pad=0.02)
            bar.outline.set_visible(False)
            bar.set_label("gain (share of the return range)")
    return figure

"""Matplotlib figures for papers and the README, from the same numbers as the page.

Nothing here touches pyplot's global state: every function draws on the axes or the figure it is
given, or makes a figure of its own, and returns the figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, Normalize, PowerNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from currgym.report.colours import MASTERY_RAMP, STEPS_RAMP, colours
from currgym.report.data import Arm, Metric, Study, load
from currgym.report.maps import (
    Axis,
    MasteryMap,
    StepsMap,
    View,
    mastery_map,
    steps_map,
    view_of,
)
from currgym.report.text import DASH, plain_env, steps_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "MASTERY_MAP", "STEPS_FORMAT", "STEPS_MAP", "STYLE", "dress", "frame", "learning_curves",
    "mastery", "picture", "readable", "save_figures", "save_picture", "steps_over_time",
    "study_colours",
]  # fmt: skip

STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#8A8A8A",
    "axes.grid": False,
    "axes.labelcolor": "#333333",
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "pdf.fonttype": 42,
    "text.color": "#1A1A1A",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
}
STEPS_MAP = LinearSegmentedColormap.from_list("currgym.steps", STEPS_RAMP)
MASTERY_MAP = LinearSegmentedColormap.from_list("currgym.mastery", MASTERY_RAMP)
STRIP_PERIODS = 24
THIRDS = ("first third", "second third", "last third")
STEPS_FORMAT = FuncFormatter(lambda value, _: steps_text(value))


def study_colours(study: Study) -> dict[str, str]:
    """Return one colour an arm, the same for arms of that label in the supervised part."""
    labels = [arm.label for arm in study.arms]
    if study.supervised is not None:
        labels += [arm.label for arm in study.supervised.arms]
    return colours(labels, study.baseline)


def learning_curves(
    study: Study,
    ax: Axes | None = None,
    metric: Metric | None = None,
    palette: dict[str, str] | None = None,
) -> Figure:
    """Draw the mean learning curve of each arm with its 95 % t interval, every seed faint.

    Args:
        study: What to draw.
        ax: Where; None makes a figure.
        metric: What is measured; None takes the study's primary one.
        palette: Colours by label; None makes them.
    """
    with mpl.rc_context(STYLE):
        figure, ax = _axes(ax, (5.2, 3.4))
        metric = metric or study.metric
        palette = palette or study_colours(study)
        ends: list[tuple[float, str, str]] = []
        last, whiskers = study.last_step, 0
        for arm in study.arms:
            curve = arm.curve(metric.name)
            if len(curve.steps) == 0:
                continue
            mean, low, high = curve.band()
            colour, dashes = palette[arm.label], (4, 2) if arm.reference else (None, None)
            if len(curve.seeds) > 1:
                for row in curve.values:
                    ax.plot(curve.steps, row, color=colour, alpha=0.28, linewidth=0.7)
                low, high = np.maximum(low, metric.low), np.minimum(high, metric.high)
                if len(curve.seeds) > 2:
                    ax.fill_between(curve.steps, low, high, color=colour, alpha=0.14, linewidth=0)
                elif np.isfinite(low[-1]):
                    # Two seeds' bands would hide the curves: the last interval alone, as a bar.
                    whiskers += 1
                    ax.errorbar(
                        last * (1 + 0.018 * whiskers), mean[-1],
                        [[mean[-1] - low[-1]], [high[-1] - mean[-1]]], color=colour, fmt="s",
                        markersize=4, capsize=2, clip_on=False,
                    )  # fmt: skip
            ax.plot(curve.steps, mean, color=colour, linewidth=2.0, label=arm.label, dashes=dashes)
            known = np.flatnonzero(np.isfinite(mean))
            if len(known):
                ends.append((float(mean[known[-1]]), arm.label, colour))
        ax.set_xlim(0, last)
        if metric.name == "mastered":
            ax.set_ylim(0, 100)
            ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 4, 5, 10]))
        ax.xaxis.set_major_formatter(STEPS_FORMAT)
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        ax.set_xlabel("examples seen" if study.kind == "supervised" else "environment steps")
        ax.set_ylabel(metric.label)
        ax.grid(axis="y", color="#E6E6E6", linewidth=0.8)
        _label_ends(ax, ends, last * (1 + 0.018 * whiskers))
    return figure


def _label_ends(ax: Axes, ends: Sequence[tuple[float, str, str]], x: float) -> None:
    """Write each curve's name at its end, moved apart where they would overlap."""
    low, high = ax.get_ylim()
    gap = 0.075 * (high - low)
    ordered = sorted(ends)
    heights = np.array([y for y, _, _ in ordered])
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    if len(heights) and heights[-1] > high:
        heights[-1] = high
        for i in range(len(heights) - 2, -1, -1):
            heights[i] = min(heights[i], heights[i + 1] - gap)
    for height, (y, label, colour) in zip(heights.tolist(), ordered, strict=True):
        ax.annotate(
            label,
            xy=(x, y),
            xytext=(x * 1.03, height),
            color=readable(colour),
            va="center",
            ha="left",
            fontweight="bold",
            annotation_clip=False,
        )


def readable(colour: str) -> str:
    """Return a darker form of colours that are too light for text on white."""
    return {"#F0E442": "#8A8000", "#56B4E9": "#1F7DB3", "#E69F00": "#A87300"}.get(colour, colour)


def steps_over_time(
    study: Study, figure: Figure | SubFigure | None = None, palette: dict[str, str] | None = None
) -> Figure:
    """Draw where in the task space each arm spent its environment steps, over time.

    One row an arm. Two dimensions: three maps, one for each third of the training. One dimension
    or a difficulty: one strip, time against it. Darker is more than an even spread would give.

    Raises:
        ValueError: If the task space has nothing to draw along.
    """
    with mpl.rc_context(STYLE):
        view = _view(study)
        palette = palette or study_colours(study)
        columns = 3 if view.plane else 1
        size = (
            (6.4, 0.7 + 1.75 * len(study.arms))
            if view.plane
            else (6.4, 0.9 + 1.2 * len(study.arms))
        )
        figure = figure or Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(study.arms), columns, squeeze=False, sharex=True, sharey=True)
        top = _steps_top(study, view)
        image = None
        for row, arm in enumerate(study.arms):
            image = _steps_row(study, arm, view, list(grid[row]), top)
            _label_row(grid[row, 0], arm, palette[arm.label], view)
        _thirds(grid, study, view)
        if image is not None:
            bar = figure.colorbar(image, ax=grid.ravel().tolist(), shrink=0.75, pad=0.02)
            _mark_even(bar, top)
    return _root(figure)


def mastery(
    study: Study, figure: Figure | SubFigure | None = None, palette: dict[str, str] | None = None
) -> Figure:
    """Draw what the students had mastered at the end, over the test set.

    Two dimensions: a map an arm. One dimension or a difficulty: a line an arm.

    Raises:
        ValueError: If the task space has nothing to draw along.
    """
    with mpl.rc_context(STYLE):
        view = _view(study)
        palette = palette or study_colours(study)
        if not view.plane:
            figure = figure or Figure(figsize=(5.2, 3.0), layout="constrained")
            ax = figure.subplots()
            for arm in study.arms:
                found = mastery_map(arm, view)
                if found is not None:
                    _profile(ax, found, arm, palette[arm.label])
            dress(ax, view.axes[0], "x")
            ax.set_ylim(0, 100)
            ax.set_ylabel("mastered (%)")
            ax.grid(axis="y", color="#E6E6E6", linewidth=0.8)
            ax.legend(frameon=False)
            return _root(figure)
        across = min(4, len(study.arms))
        down = -(-len(study.arms) // across)
        figure = figure or Figure(figsize=(2.3 * across + 0.8, 2.35 * down), layout="constrained")
        grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
        image = None
        for i, arm in enumerate(study.arms):
            ax = grid[i // across, i % across]
            found = mastery_map(arm, view)
            image = _mastery_cells(ax, found, view) or image
            ax.set_title(arm.label, color=readable(palette[arm.label]), fontweight="bold")
            if i % across == 0:
                ax.set_ylabel(view.axes[1].label)
            if i // across == down - 1:
                ax.set_xlabel(view.axes[0].label)
        for i in range(len(study.arms), across * down):
            grid[i // across, i % across].set_axis_off()
        if image is not None:
            bar = figure.colorbar(image, ax=grid.ravel().tolist(), shrink=0.8, pad=0.02)
            _mark_share(bar)
    return _root(figure)


def save_figures(folder: str | Path, out: str | Path) -> list[Path]:
    """Write every figure as PDF and PNG into the folder ``out``; return the files."""
    from currgym.report.figures_leading import leading_figures
    from currgym.report.figures_teachers import teachers_inside

    study = load(folder)
    palette = study_colours(study)
    drawn = leading_figures(study)
    drawn["learning_curves"] = learning_curves(study, palette=palette)
    inside = teachers_inside(study, palette=palette)
    if inside is not None:
        drawn["teachers"] = inside
    if view_of(study) is not None:
        drawn["steps"] = steps_over_time(study, palette=palette)
        drawn["mastery"] = mastery(study, palette=palette)
    if study.supervised is not None:
        drawn["learning_curves_supervised"] = learning_curves(study.supervised, palette=palette)
    target = Path(out)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in drawn.items():
        with mpl.rc_context(STYLE):
            # Laid out once, not again for each file.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        for suffix in ("pdf", "png"):
            path = target / f"{name}.{suffix}"
            # No date inside, so that the same folder gives the same file.
            metadata = {"CreationDate": None} if suffix == "pdf" else {}
            with mpl.rc_context(STYLE):
                figure.savefig(path, dpi=200, bbox_inches="tight", metadata=metadata)
            written.append(path)
    return written


def save_picture(folder: str | Path, out: str | Path) -> Path:
    """Write the picture for the README, 1,600 pixels wide: curves, steps and mastery side by side.

    Raises:
        ValueError: If the task space has nothing to draw along.
    """
    study = load(folder)
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = picture(study)
    with mpl.rc_context(STYLE):
        figure.savefig(path, dpi=PICTURE_DPI, facecolor="white")
    return path


PICTURE_DPI = 125
_PICTURE_ARMS = 6


def picture(study: Study) -> Figure:
    """Draw learning curves beside, for each arm, where its steps went and what was mastered.

    Raises:
        ValueError: If the task space has nothing to draw along.
    """
    view = _view(study)
    palette = study_colours(study)
    arms = study.arms[:_PICTURE_ARMS]
    with mpl.rc_context({**STYLE, "font.size": 11}):
        height = max(4.9, 1.9 + 1.16 * len(arms))
        figure = Figure(figsize=(12.8, height))
        bottom, top = 0.98, height - (1.06 if view.plane else 0.82)
        bars = any(len(arm.runs) == 2 for arm in study.arms)
        curves = _panel(figure, 0.66, bottom, 3.5 if bars else 3.8, top - bottom)
        learning_curves(study, ax=curves, palette=palette)
        _headline(
            figure, 0.66, height, "Does the student learn?",
            f"{plain_env(study.env)}, {study.student}, mean and 95 % interval",
        )  # fmt: skip
        gap = 0.13
        row_height = (top - bottom + gap) / len(arms) - gap
        darkest = _steps_top(study, view)
        for r, arm in enumerate(arms):
            y = top - (r + 1) * row_height - r * gap
            if view.plane:
                maps = [_panel(figure, 6.5 + 1.52 * c, y, 1.4, row_height) for c in range(3)]
                end = _panel(figure, 11.28, y, 1.4, row_height)
            else:
                maps = [_panel(figure, 6.5, y, 4.1, row_height)]
                end = _panel(figure, 11.08, y, 1.5, row_height)
            _steps_row(study, arm, view, maps, darkest)
            found = mastery_map(arm, view)
            if view.plane:
                _mastery_cells(end, found, view)
            else:
                _profile_panel(end, found, arm, view, palette[arm.label])
            _picture_ticks([*maps, end], view, last=r == len(arms) - 1)
            # As large as the row's height lets it be.
            size = min(11.0, 72.0 * row_height / (0.66 * len(arm.label)))
            figure.text(
                5.9 / 12.8, (y + 0.5 * row_height) / height, arm.label, rotation=90, va="center",
                ha="center", color=readable(palette[arm.label]), fontweight="bold", fontsize=size,
            )  # fmt: skip
            if r == 0 and view.plane:
                for ax, name in zip([*maps, end], [*THIRDS, "at the end"], strict=True):
                    ax.set_title(name, fontsize=9.5, color="#555555", pad=4)
        if view.plane:
            figure.text(
                6.12 / 12.8, 0.5 * (bottom + top) / height, view.axes[1].label, rotation=90,
                va="center", ha="center", color="#333333", fontsize=9.5,
            )  # fmt: skip
        against = "" if view.plane else f"{view.axes[0].short} against time; "
        _headline(
            figure, 6.5, height, "Where does the teacher spend the steps?",
            f"{against}darker: more than an even spread",
        )  # fmt: skip
        _headline(
            figure, 11.28 if view.plane else 11.08, height, "Mastered",
            "darker: more seeds" if view.plane else "per cent of the seeds",
        )  # fmt: skip
        figure.text(
            0.66 / 12.8, 0.2 / height, _footnote(study), color="#666666", fontsize=9.5, va="bottom"
        )
    return figure


def _footnote(study: Study) -> str:
    seeds = sorted({len(arm.finished) for arm in study.arms})
    many = "1 seed" if seeds == [1] else f"{DASH.join(str(n) for n in seeds)} seeds"
    return f"{many} a teacher: {study.verdict().word}. Drawn by currgym."


def _panel(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Return axes at a place in inches."""
    across, up = (float(size) for size in figure.get_size_inches())
    return figure.add_axes((x / across, y / up, width / across, height / up))


def _headline(figure: Figure, x: float, height: float, title: str, under: str) -> None:
    """Write a title at the top and a quieter line under it."""
    figure.text(x / 12.8, 1.0 - 0.36 / height, title, fontweight="bold", fontsize=12.5)
    figure.text(x / 12.8, 1.0 - 0.6 / height, under, color="#666666", fontsize=9.5)


def _picture_ticks(axes: list[Axes], view: View, last: bool) -> None:
    """Keep the ticks that a row needs: left at its ends, below in the last row."""
    for c, ax in enumerate(axes):
        ax.tick_params(labelsize=8.5, length=2.5, labelbottom=last)
        if view.plane and c > 0:
            ax.tick_params(labelleft=False)
        ax.set_ylabel("")
        ax.set_xlabel("")
        if last:
            time = c == 0 and not view.plane
            label = "environment steps" if time else view.axes[0].short
            ax.set_xlabel(label, fontsize=9.5)
        if view.plane and c < len(axes) - 1:
            # Neighbours' end labels would touch.
            axis = view.axes[0]
            words, values = dict(axis.ticks), axis.tick_values(3, room_at_end=True)
            ax.set_xticks(values, [words.get(v, f"{v:g}") for v in values])


def _profile_panel(ax: Axes, found: MasteryMap | None, arm: Arm, view: View, colour: str) -> None:
    if found is not None:
        _profile(ax, found, arm, colour, fill=True)
    dress(ax, view.axes[0], "x")
    ax.set_ylim(0, 105)
    ax.set_yticks([0, 50, 100])


def _view(study: Study) -> View:
    view = view_of(study)
    if view is None:
        raise ValueError(f"the task space of {study.env} has no dimension to draw along")
    return view


def _axes(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    if ax is not None:
        return _root(ax.get_figure()), ax
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def _root(figure: Any) -> Figure:
    while isinstance(figure, SubFigure):
        figure = figure.figure
    assert isinstance(figure, Figure)
    return figure


def _steps_top(study: Study, view: View) -> float:
    """Return the density at the dark end of the ramp, common to all arms."""
    periods = 3 if view.plane else STRIP_PERIODS
    maps = [steps_map(arm.shown, view, periods).density for arm in study.arms]
    known = np.concatenate([m[np.isfinite(m)] for m in maps])
    return float(np.clip(np.quantile(known, 0.99), 4.0, 12.0)) if len(known) else 4.0


def _steps_row(study: Study, arm: Arm, view: View, axes: list[Axes], top: float) -> Any:
    norm = PowerNorm(0.5, 0.0, top)
    if not view.plane:
        found = steps_map(arm.shown, view, STRIP_PERIODS)
        (ax,) = axes
        image = _strip(ax, found, norm)
        dress(ax, view.axes[0], "y")
        ax.xaxis.set_major_formatter(STEPS_FORMAT)
        return image
    found = steps_map(arm.shown, view, 3)
    image = None
    for period, ax in enumerate(axes):
        if found.steps[period] == 0:
            ax.text(
                0.5, 0.5, "not yet", transform=ax.transAxes, ha="center", va="center",
                color="#888888",
            )  # fmt: skip
        else:
            image = ax.pcolormesh(
                *found.edges, found.density[period].T, cmap=STEPS_MAP, norm=norm, rasterized=True
            )
        dress(ax, view.axes[0], "x")
        dress(ax, view.axes[1], "y")
        ax.set_xlabel("")
        ax.set_ylabel("")
        frame(ax)
    return image


def _strip(ax: Axes, found: StepsMap, norm: Normalize) -> Any:
    density = np.ma.masked_invalid(found.density)
    image = ax.pcolormesh(
        found.times, found.edges[0], density.T, cmap=STEPS_MAP, norm=norm, rasterized=True
    )
    frame(ax)
    return image


def frame(ax: Axes) -> None:
    """Draw a light frame around a map."""
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color("#BBBBBB")


def dress(ax: Axes, axis: Axis, which: str) -> None:
    """Set scale, limits, ticks and label of a task axis."""
    target = ax.xaxis if which == "x" else ax.yaxis
    if which == "x":
        ax.set_xscale("log" if axis.log else "linear")
        ax.set_xlim(axis.low, axis.high)
        ax.set_xlabel(axis.label)
    else:
        ax.set_yscale("log" if axis.log else "linear")
        ax.set_ylim(axis.low, axis.high)
        ax.set_ylabel(axis.label)
    words = dict(axis.ticks)
    values = axis.tick_values()
    target.set_ticks(values, [words.get(v, f"{v:g}") for v in values])
    target.set_minor_locator(NullLocator())


def _label_row(ax: Axes, arm: Arm, colour: str, view: View) -> None:
    """Write the arm's name over its row's first panel."""
    ax.set_title(arm.label, loc="left", color=readable(colour), fontweight="bold", fontsize=9.5)
    ax.set_ylabel(view.axes[1].label if view.plane else view.axes[0].short)


def _thirds(grid: Any, study: Study, view: View) -> None:
    if view.plane:
        for ax, name in zip(grid[0], THIRDS, strict=True):
            # Above the line where the first panel's title names the arm.
            ax.annotate(
                name, xy=(0.5, 1.0), xytext=(0, 21), xycoords="axes fraction",
                textcoords="offset points", ha="center", color="#555555",
            )  # fmt: skip
        for ax in grid[-1]:
            ax.set_xlabel(view.axes[0].label)
    else:
        steps = "examples seen" if study.kind == "supervised" else "environment steps"
        grid[-1][0].set_xlabel(steps)


def _mark_even(bar: Any, top: float) -> None:
    bar.set_label("steps (1 = even spread; square-root scale)")
    bar.set_ticks([0.0, 1.0, top], labels=["0", "1", f"{top:.1f}"])
    bar.outline.set_visible(False)


def _mark_share(bar: Any) -> None:
    bar.set_label("mastered (%)")
    bar.outline.set_visible(False)


def _mastery_cells(ax: Axes, found: MasteryMap | None, view: View) -> Any:
    """Draw shares as cells where the test tasks form a grid, else as dots."""
    dress(ax, view.axes[0], "x")
    dress(ax, view.axes[1], "y")
    ax.set_xlabel("")
    ax.set_ylabel("")
    frame(ax)
    if found is None:
        ax.text(0.5, 0.5, "unknown", transform=ax.transAxes, ha="center", va="center")
        return None
    norm = Normalize(0.0, 100.0)
    if found.grid is not None:
        xs, ys, share = found.grid
        across, up = view.axes[0].around(xs), view.axes[1].around(ys)
        ax.set_xlim(across[0], across[-1])
        ax.set_ylim(up[0], up[-1])
        return ax.pcolormesh(
            across, up, 100.0 * share.T, cmap=MASTERY_MAP, norm=norm, edgecolors="white",
            linewidth=0.6, rasterized=True,
        )  # fmt: skip
    return ax.scatter(
        found.places[:, 0], found.places[:, 1], c=100.0 * found.share, cmap=MASTERY_MAP, norm=norm,
        s=18, edgecolors="#777777", linewidths=0.4,
    )  # fmt: skip


def _profile(ax: Axes, found: MasteryMap, arm: Arm, colour: str, fill: bool = False) -> None:
    x, share = found.profile()
    dashes = (4, 2) if arm.reference else (None, None)
    ax.plot(
        x, 100.0 * share, color=colour, linewidth=1.8, marker="o", markersize=3, label=arm.label,
        dashes=dashes,
    )  # fmt: skip
    if fill:
        ax.fill_between(x, 0.0, 100.0 * share, color=colour, alpha=0.15, linewidth=0)

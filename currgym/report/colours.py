"""Colours that the colour-blind can tell apart, one a teacher in every figure."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "BASELINE", "CYCLE", "GAIN_RAMP", "MASTERY_RAMP", "PART_COLOURS", "STATE_COLOURS",
    "STEPS_RAMP", "colours", "tint",
]  # fmt: skip

# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/); yellow last, as it is weak on white.
CYCLE = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
BASELINE = "#6B6B6B"
"""The arm that others are compared with: grey stands for nothing special."""

# Lightness falls steadily along both ramps, so that they survive a black-and-white print.
STEPS_RAMP = ("#FFFFFF", "#D6E6F2", "#9CC5E0", "#4E97C6", "#0072B2", "#003E66", "#001B33")
MASTERY_RAMP = ("#F4F1EA", "#D3E5DA", "#9BD1B9", "#57B594", "#16936E", "#006B4B")

# Below zero, zero, above: told apart by hue, and by lightness from the middle.
GAIN_RAMP = ("#7F3B08", "#D98A2B", "#F7E3C4", "#F7F7F7", "#CFE1F0", "#4E97C6", "#003E66")

# Already mastered, learnable, not yet, never: the frontier alone is warm, the rest cool or grey.
STATE_COLOURS = ("#0072B2", "#E69F00", "#D5D5D5", "#6B6B6B")
# Better marginal, order, adaptivity.
PART_COLOURS = ("#56B4E9", "#009E73", "#CC79A7")


def colours(labels: Sequence[str], baseline: str | None) -> dict[str, str]:
    """Return one colour a label: grey for the baseline, then the palette in order."""
    others = [label for label in dict.fromkeys(labels) if label != baseline]
    chosen = {label: CYCLE[i % len(CYCLE)] for i, label in enumerate(others)}
    if baseline is not None:
        chosen[baseline] = BASELINE
    return chosen


def tint(colour: str, alpha: float) -> str:
    """Return ``#RRGGBB`` as ``rgba(...)``."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"

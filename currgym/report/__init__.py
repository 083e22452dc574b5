"""Reports of runs and comparisons: a page, figures for papers, the picture of a README, films.

>>> from currgym.report import write          # doctest: +SKIP
>>> write("runs/my-comparison")               # doctest: +SKIP
PosixPath('runs/my-comparison/report.html')
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["figure", "picture", "write"]


def write(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a comparison or run folder as one self-contained HTML page.

    Args:
        folder: A folder with ``study.json``, or a run's with ``config.json``.
        out: The file to write; None writes ``report.html`` into the folder.

    Returns:
        The file.

    Raises:
        ValueError: If the folder is neither, or is damaged; the file is named.
    """
    from currgym.report.page import write_page

    return write_page(folder, out)


def figure(folder: str | Path, out: str | Path) -> list[Path]:
    """Write the figures for papers into the folder ``out``, each as PDF and PNG.

    Returns:
        The files: gain, frontier, signal and transfer (where measured), learning curves, steps,
        mastery.

    Raises:
        ValueError: If the folder is neither a comparison nor a run, or is damaged.
    """
    from currgym.report.figures import save_figures

    return save_figures(folder, out)


def picture(folder: str | Path, out: str | Path) -> Path:
    """Write learning curves, steps and mastery as one wide PNG (1,600 pixels).

    Returns:
        The file.

    Raises:
        ValueError: If the folder is neither a comparison nor a run, or its task space has no
            dimension to draw along.
    """
    from currgym.report.figures import save_picture

    return save_picture(folder, out)

"""``currgym watch``: a run or study in progress, live."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["watch"]


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--every", type=click.FloatRange(0.1), default=2.0, show_default=True,
              metavar="SECONDS", help="Between looks.")  # fmt: skip
@click.option("--once", is_flag=True, help="Show it as it is now, and end.")
@click.option("--serve", is_flag=True, help="Show it on a local page (127.0.0.1) instead.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True,
              help="Of the page; 0 takes a free one.")  # fmt: skip
@click.option("--trust", is_flag=True, help="Allow importing the modules that a study file names.")
def watch(folder: Path, every: float, once: bool, serve: bool, port: int, trust: bool) -> None:
    """Look on while a run or a study is at work in DIR (or a study file), or after it.

    Learning curves, where the teacher samples, what was spent, the pace and the time left. It only
    reads: start and stop it as you like. It waits for a run that has not begun.
    """
    from currgym.watching import watcher

    found = watcher(folder, trust)
    try:
        if serve:
            from currgym.watching.page import serve as serve_page

            serve_page(found, port, every, lambda address: click.echo(f"open {address}"))
        else:
            from currgym.watching.terminal import follow

            follow(found, every, once)
    except KeyboardInterrupt:  # the usual way to stop looking
        click.echo("")

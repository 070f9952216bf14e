"""Progress of long work on the terminal, and the seconds it took."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

# Called with the steps done and the steps in all.
Advance = Callable[[int, int], None]


@contextmanager
def working(console: Console, title: str) -> Iterator[None]:
    """Show a spinner and the time during the work, then a line with the seconds it took."""
    with _shown(console, title, ()):
        yield


@contextmanager
def working_with_bar(console: Console, title: str) -> Iterator[Advance]:
    """Show a bar that the work advances, then a line with the seconds it took."""
    with _shown(console, title, (BarColumn(bar_width=30),)) as advance:
        yield advance


@contextmanager
def _shown(console: Console, title: str, columns: tuple[ProgressColumn, ...]) -> Iterator[Advance]:
    started = time.monotonic()
    if not console.is_terminal:  # a log: a line at the end is enough
        yield lambda done, of: None
        _print_done(console, title, started)
        return
    text = TextColumn("{task.description}")
    shown = (SpinnerColumn(), text, *columns, TimeElapsedColumn())
    with Progress(*shown, console=console, transient=True) as progress:
        task = progress.add_task(title, total=None)

        def advance(done: int, of: int) -> None:
            progress.update(task, completed=done, total=of)

        yield advance
    _print_done(console, title, started)


def _print_done(console: Console, title: str, started: float) -> None:
    seconds = f"[dim]{time.monotonic() - started:.1f} s[/]"
    console.print(f"  [green]done[/] {title} {seconds}", highlight=False)

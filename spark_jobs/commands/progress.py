"""Progress: what a person sees while something long is at work, and what it took afterwards."""

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

# Called with how much is done, and of how much.
Advance = Callable[[int, int], None]


@contextmanager
def working(console: Console, what: str) -> Iterator[None]:
    """Show a spinner and the time while something runs, and a line with what it took."""
    with _shown(console, what, ()):
        yield


@contextmanager
def working_with_bar(console: Console, what: str) -> Iterator[Advance]:
    """Show a bar that the work itself moves, and a line with what it took."""
    with _shown(console, what, (BarColumn(bar_width=30),)) as advance:
        yield advance


@contextmanager
def _shown(console: Console, what: str, columns: tuple[ProgressColumn, ...]) -> Iterator[Advance]:
    started = time.monotonic()
    if not console.is_terminal:  # a log: what was done is enough
        yield lambda done, of: None
        _print_done(console, what, started)
        return
    text = TextColumn("{task.description}")
    shown = (SpinnerColumn(), text, *columns, TimeElapsedColumn())
    with Progress(*shown, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)

        def advance(done: int, of: int) -> None:
            progress.update(task, completed=done, total=of)

        yield advance
    _print_done(console, what, started)


def _print_done(console: Console, what: str, started: float) -> None:
    seconds = f"[dim]{time.monotonic() - started:.1f} s[/]"
    console.print(f"  [green]done[/] {what} {seconds}", highlight=False)

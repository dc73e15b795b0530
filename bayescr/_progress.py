"""Progress bars for long work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

__all__ = ["Advance", "track"]


@runtime_checkable
class Advance(Protocol):
    """Moves a bar on and says what there is to say."""

    def __call__(self, steps: int = 1, status: str = "") -> None:
        """Advance by ``steps`` and show ``status``."""


@contextlib.contextmanager
def track(description: str, total: int, *, show: bool) -> Iterator[Advance]:
    """Show a bar on standard error while the block runs; with ``show=False`` do nothing."""
    if not show:
        yield lambda steps=1, status="": None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=8),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[status]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total, status="")
        yield lambda steps=1, status="": bar.update(task, advance=steps, status=status)

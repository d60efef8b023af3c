"""Progress of a run: a line for each point, and a bar below if tqdm is installed."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """A context manager. Lines go to standard output, the bar to standard error."""

    def __init__(self, total: int) -> None:
        self._bar = _make_bar(total)

    def line(self, text: str) -> None:
        """Print a line without tearing the bar."""
        if self._bar is None:
            print(text, flush=True)
        else:
            self._bar.write(text, file=sys.stdout)
            sys.stdout.flush()

    def step(self) -> None:
        """One more point is done."""
        if self._bar is not None:
            self._bar.update()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _make_bar(total: int) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, unit="point", dynamic_ncols=True)

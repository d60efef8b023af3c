"""How many bytes a row of an answer may have, by the views that were asked for, as answers so far tell. Pure."""

from __future__ import annotations

from bert_serving.client.views import View

MOST_KINDS = 64
"""Whose sizes are remembered."""
Views = tuple[View, ...]


class RowSizes:
    """Vectors of tokens are no measure of vectors of texts, so each kind of rows has its own size."""

    def __init__(self) -> None:
        self._known: dict[Views | None, int] = {}

    def expected(self, views: Views | None) -> int:
        """In bytes; of what was never asked, a vector for each layer of each view; 0 if nothing is known."""
        if views is None or views in self._known:
            return self._known.get(views, 0)
        return self._known.get(None, 0) * sum(len(view.layers or [-1]) for view in views)

    def learn(self, views: Views | None, row_bytes: int) -> None:
        """A row of an answer had so many. What was learnt first is forgotten first, but not what has no views."""
        if views not in self._known and len(self._known) >= MOST_KINDS:
            del self._known[next(one for one in self._known if one is not None)]
        self._known[views] = max(self._known.get(views, 0), row_bytes)

"""What rows of answers are expected to take."""

from __future__ import annotations

from bert_serving.client.views import View
from bert_serving.server.gateway.row_sizes import MOST_KINDS, RowSizes

TOKENS = (View("NONE"),)


def test_each_kind_of_rows_has_its_size() -> None:
    sizes = RowSizes()
    assert sizes.expected(None) == sizes.expected(TOKENS) == 0
    sizes.learn(None, 100)
    sizes.learn(TOKENS, 50_000)
    sizes.learn(None, 80)
    assert (sizes.expected(None), sizes.expected(TOKENS)) == (100, 50_000)


def test_what_was_never_asked_is_guessed_by_its_layers() -> None:
    sizes = RowSizes()
    sizes.learn(None, 100)
    assert sizes.expected((View(layers=[-1, -2, -3]), View(normalize=True))) == 400


def test_not_every_view_is_remembered() -> None:
    sizes = RowSizes()
    sizes.learn(None, 100)
    for dimensions in range(1, 3 * MOST_KINDS):
        sizes.learn((View(dimensions=dimensions),), 4 * dimensions)
    assert sizes.expected(None) == 100
    assert sizes.expected((View(dimensions=1),)) == 100  # forgotten, and guessed
    assert sizes.expected((View(dimensions=3 * MOST_KINDS - 1),)) == 4 * (3 * MOST_KINDS - 1)
    assert len(sizes._known) == MOST_KINDS

"""Row 14: `BertClient.rank` and a server with a cross-encoder, against sentence-transformers in process."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from environments import SENTENCE_TRANSFORMERS, Missing, python_of, versions_of

from compare.agreement import SAME_SCORES, apart
from compare.cross_encoder import write_cross_encoder
from compare.processes import Contestant, Server, our_start
from compare.setup import Setup
from compare.table import Row, Side
from compare.texts import DOCUMENTS

TOGETHER = False
"""There is one row."""

TITLES = {
    14: f"BertClient.rank, {DOCUMENTS} documents, a cross-encoder of MiniLM's size, float32, vs CrossEncoder.rank"
}
MOST_TOKENS = 512
"""As many as the model takes, which is what the library has by itself."""
OURS, OTHER = "this server", "sentence-transformers, 1 process"


def rows(setup: Setup, wanted: set[int]) -> list[Row]:
    """Missing if sentence-transformers is not here, or ranks in another way."""
    python = python_of(SENTENCE_TRANSFORMERS)
    setup.versions.update(versions_of(python, SENTENCE_TRANSFORMERS.shown))
    model = str(write_cross_encoder(setup.folder / "cross-encoder"))
    options = ("-cpu", "-model_dir", model, "-max_seq_len", str(MOST_TOKENS))
    with (
        Server(our_start(), *options) as server,
        Contestant(sys.executable, "load", str(server.port), str(server.port_out), setup.texts) as load,
        Contestant(python, "peer_cross_encoder", model, setup.texts) as peer,
    ):
        sides = {OURS: load, OTHER: peer}
        worst = _checked(setup, sides)
        figures: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(setup.rounds):
            for name, side in sides.items():
                figures[name].append(side.ask("rank", calls=setup.sizes.rank_calls)["mean_ms"])
                setup.record(f"rank, {name}", figures[name][-1], "ms")
    ours, other = (Side(name, tuple(found)) for name, found in figures.items())
    note = f"scores differ by at most {worst:.1e}"
    return [Row("14", TITLES[14], "ms", ours, other, less_is_better=True, note=note)]


def _checked(setup: Setup, sides: Mapping[str, Contestant]) -> float:
    """How far the two are apart in all that will be asked, which also warms them up. Missing if it is too far."""
    worst = 0.0
    for number in range(setup.sizes.rank_calls):
        ours, theirs = (side.ask("ranked", number=number)["hits"] for side in sides.values())
        worst = max(worst, apart(ours, theirs))
    setup.record("scores of the two rankings differ by at most", worst, "of 1")
    if not worst <= SAME_SCORES:
        raise Missing(f"the two rank in different ways: their scores lie {worst:.1e} apart")
    return worst

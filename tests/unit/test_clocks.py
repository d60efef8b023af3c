"""No duration is measured by a clock that can be set: the wall clock is for what is shown and for times of files."""

from __future__ import annotations

import re

from folders import ROOT

WALL = re.compile(r"\btime\.time\(|\bdatetime\.(now|utcnow)\(|from time import")
MAY = {
    "server/bert_serving/server/benchmark/machine.py": "shown in the report",
    "server/bert_serving/server/engine/file_hashes.py": "when files were changed",
    "server/bert_serving/server/engine/graph_cache.py": "when files were changed",
    "server/bert_serving/server/gateway/backend.py": "shown in the dashboard",
    "server/bert_serving/server/transport/curve.py": "when files of keys were changed",
    "server/bert_serving/server/ventilator/status.py": "shown in the status",
}


def test_who_asks_the_wall_clock() -> None:
    sources = [path for package in ("client", "server") for path in (ROOT / package / "bert_serving").rglob("*.py")]
    found = {str(path.relative_to(ROOT)) for path in sources if WALL.search(path.read_text("utf-8"))}
    assert found == set(MAY)

"""The limit on open files: as high as the user may have it."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import resource
from bert_serving.server.descriptors import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
raise_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_limit_goes_up_to_the_hard_one() -> None:
    for soft, hard in ((100, 300), (300, 300)):
        command = [sys.executable, "-c", SCRIPT.format(soft=soft, hard=hard)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["300", "300"]

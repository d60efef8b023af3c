"""The process that an attack runs in: python -m strangers.attacker NAME TARGET SECONDS

It says "begun" on a line of its own, and at the end, as JSON, what it won. Who started it holds it to half a core.
"""

from __future__ import annotations

import json
import resource
import sys

from strangers.attack import Target, Turns
from strangers.catalogue import ATTACKS

MOST_CONNECTIONS = 4_096


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, MOST_CONNECTIONS), hard))
    attack, target = ATTACKS[sys.argv[1]], Target.from_json(sys.argv[2])
    print("begun", flush=True)
    try:
        won = attack.run(target, Turns(float(sys.argv[3])))
    except OSError as error:  # the service sent it away
        won = []
        print(f"it was sent away: {error}", file=sys.stderr)
    print(json.dumps(won), flush=True)


if __name__ == "__main__":
    main()

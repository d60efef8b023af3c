"""Attacks of strangers on a running service, one after the other, each beside a good client. For `make chaos`.

    python tests/slow/chaos/attacks.py                                  all of them, each on a service of its own
    python tests/slow/chaos/attacks.py --only control --only half_handshakes --seconds 20
    python tests/slow/chaos/attacks.py --list

An attacker is held to half a core. While it is at it, the p99 of a good client has to stay below three times that in
quiet, no process may grow by more than 300 MB beyond the message itself, and none may end. `control` is a process that
attacks nobody: what it costs is what half a core less costs. The exit status is 1 if any attack did harm.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from strangers.attack import Attack
from strangers.catalogue import ATTACKS
from strangers.trial import Outcome, Trials


def line(outcome: Outcome) -> str:
    """Of the table."""
    name, grown = max(outcome.growth_mb.items(), key=lambda item: item[1])
    quiet_ms, attacked_ms = outcome.quiet.percentile_ms(99), outcome.attacked.percentile_ms(99)
    figures = f"{quiet_ms:8.1f} {attacked_ms:9.1f} {outcome.times:7.1f} {grown:+7.0f} {name:13} {len(outcome.deaths):6}"
    lost = f" {len(outcome.attacked.failures):6} {outcome.attacked.wrong:5} {len(outcome.attacked.seconds):6}"
    return f"{outcome.name:40} {figures}{lost}  {'; '.join(outcome.harm()) or 'no harm'}"


HEAD = (
    f"{'attack':40} {'quiet ms':>8} {'p99 ms':>9} {'times':>7} {'MB':>7} {'of':13} {'deaths':>6} {'failed':>6} "
    f"{'wrong':>5} {'calls':>6}  harm"
)


def tried(attack: Attack, options: argparse.Namespace) -> Outcome:
    with Trials(attack) as trials:
        quiet = trials.quiet(options.quiet, attack.over_http)
        outcome = trials.run(attack, options.seconds, quiet)
    if options.log:
        print("".join(trials.service.log), file=sys.stderr)
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description="Attack a service, and see what it costs a good client.")
    parser.add_argument("--only", action="append", choices=ATTACKS, metavar="NAME", help="may be given several times")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each attack")
    parser.add_argument("--quiet", type=float, default=5.0, help="seconds of quiet before each")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    parser.add_argument("--list", action="store_true", help="say what attacks there are, and end")
    parser.add_argument("--log", action="store_true", help="show the service's last lines")
    options = parser.parse_args()
    chosen = [ATTACKS[name] for name in options.only or ATTACKS]
    if options.list:
        for attack in chosen:
            print(f"{attack.row or '':>2} {attack.name:40} {(attack.run.__doc__ or '').strip()}")
        return
    print(HEAD, flush=True)
    outcomes = []
    for attack in chosen:
        outcomes.append(tried(attack, options))
        print(line(outcomes[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps([outcome.as_json() for outcome in outcomes], indent=1))
    harmed = [outcome.name for outcome in outcomes if outcome.harm()]
    print(f"{len(outcomes)} attacks, {len(harmed)} did harm: {', '.join(harmed) or 'none'}")
    sys.exit(1 if harmed else 0)


if __name__ == "__main__":
    main()

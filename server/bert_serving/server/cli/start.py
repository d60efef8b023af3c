"""`bert-serving-start`: runs the service until a signal or a client stops it."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

from bert_serving.server.cli.signals import ending_signals
from bert_serving.server.errors import BertServerError
from bert_serving.server.options import argument_table, get_args_parser, given_arguments
from bert_serving.server.service.notification import notify
from bert_serving.server.service.server import SIGNALS_INTERVAL_S, BertServer
from bert_serving.server.streams import settle_streams
from bert_serving.server.transport.descriptors import raise_limit

_LOOKS_FOR_ORPHANS = 25
"""Orphans are looked for after this many times `SIGNALS_INTERVAL_S`."""


def main() -> None:
    """Exit status 0 after an orderly stop; 1 if the service could not start or go on, 2 for a wrong option."""
    settle_streams()
    parser = get_args_parser()
    args = parser.parse_args()
    raise_limit()
    try:
        server = BertServer(args)
    except BertServerError as error:
        parser.error(str(error))
    if args.dry_run:
        sys.exit(rehearse(server, parser.prog))
    given = f"options: {given_arguments(server.config)} (-verbose shows all)"
    print(argument_table(server.config) if server.config.verbose else given, flush=True)
    sys.exit(serve(server, parser.prog))


def rehearse(server: BertServer, prog: str) -> int:
    """Say what would run; the exit status, the reason why it could not on the last line."""
    try:
        print(server.rehearse())
    except BertServerError as error:
        sys.stderr.write(f"{prog}: error: {error}\n")
        return 1
    return 0


def serve(server: BertServer, prog: str) -> int:
    """Run `server` until it is stopped; the exit status, the reason of a failure on the last line."""
    signals: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGHUP:  # which comes twice of itself
            signals.append(number)  # a second one means that the person does not want to wait
        server.stop(f"{signal.Signals(number).name} was received", at_once=len(signals) > 1)

    def heed_signals() -> None:
        for number in ending_signals():
            signal.signal(number, on_signal)

    heed_signals()
    server.start()
    with suppress(BertServerError):
        server.is_ready.wait()
        notify("READY=1")
    heed_signals()  # Ray puts handlers of its own in their place when it joins a cluster
    _wait_for_end(server)
    if server.failure is not None:
        sys.stderr.write(f"{prog}: error: {server.failure}\n")
        return 1
    return 0


def _wait_for_end(server: BertServer) -> None:
    """Process 1 of a container inherits those that lose their parent there, and has to bury them."""
    is_first_process = os.getpid() == 1
    has_notified, seen, looks = False, None, 0
    while server.is_alive():
        server.join(SIGNALS_INTERVAL_S)
        if not has_notified and (server.is_stopping.is_set() or not server.is_alive()):
            notify("STOPPING=1")
            has_notified = True
        looks += 1
        if is_first_process and looks % _LOOKS_FOR_ORPHANS == 0:
            seen = _bury(seen)


def _bury(seen: int | None) -> int | None:
    """Take the exit status of a process that was `seen` dead the last time; returns which one is dead now.

    Those of the service have been buried by then by who started them.
    """
    try:
        dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    if dead is not None and dead.si_pid == seen:
        os.waitpid(dead.si_pid, 0)
        return None
    return None if dead is None else dead.si_pid


if __name__ == "__main__":
    main()

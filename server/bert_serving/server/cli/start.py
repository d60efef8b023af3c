"""`bert-serving-start`: runs the service until a signal or a client stops it."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from types import FrameType

from bert_serving.server.cli.signals import ending_signals
from bert_serving.server.errors import BertServerError
from bert_serving.server.options import argument_table, get_args_parser
from bert_serving.server.service.server import BertServer
from bert_serving.server.streams import settle_streams
from bert_serving.server.transport.descriptors import raise_limit


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
    print(argument_table(server.config), flush=True)
    sys.exit(rehearse(server, parser.prog) if args.dry_run else serve(server, parser.prog))


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
    heed_signals()  # Ray puts handlers of its own in their place when it joins a cluster
    server.join()
    if server.failure is not None:
        sys.stderr.write(f"{prog}: error: {server.failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    main()

"""`bert-serving-keygen`: makes the keys of a server with `-curve_dir`, and of its clients."""

from __future__ import annotations

import sys
from pathlib import Path

from bert_serving.server.command_line import OneLineParser
from bert_serving.server.errors import StartError
from bert_serving.server.streams import settle_streams
from bert_serving.server.transport.curve import make_keys


def main() -> None:
    """Exit status 0 when the keys are there, 1 if they could not be made."""
    settle_streams()
    parser = OneLineParser(
        prog="bert-serving-keygen",
        usage="%(prog)s FOLDER [NAME ...]",
        description="Make the server's keys, if they do not exist yet, and a folder of keys for each client.",
        epilog="example:\n"
        "  bert-serving-keygen /etc/bert-keys alice bob\n"
        "  bert-serving-start -curve_dir /etc/bert-keys -model_dir ...\n"
        "Alice gets her folder over a secure channel, and connects with BertClient(curve='alice').",
    )
    group = parser.add_argument_group("Keys")
    group.add_argument("folder", metavar="FOLDER", type=Path, help="folder of the server's keys, for its -curve_dir")
    group.add_argument(
        "name", metavar="NAME", nargs="*", help="name of a client; one that begins with admin may stop the server "
        "remotely",
    )  # fmt: skip
    parser.add_help_and_version()
    args = parser.parse_args()
    for name in args.name:
        if not name.replace("-", "").replace("_", "").isalnum():
            parser.error(f"the name {name!r} may contain only letters, digits, - and _")
    try:
        handed_out = make_keys(args.folder, args.name)
    except StartError as error:
        parser.error(str(error))
    except FileExistsError as error:
        parser.error(f"{error.filename} already exists: to make a new key, first remove it and its key in clients/")
    except OSError as error:
        parser.error(f"cannot write the keys: {error}")
    for folder in handed_out:
        print(f"send over a secure channel: {folder}", file=sys.stdout)


if __name__ == "__main__":
    main()

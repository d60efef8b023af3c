"""`bert-serving-keygen`: makes the keys of a server with `-curve_dir`, and of its clients."""

from __future__ import annotations

import sys
from pathlib import Path

from bert_serving.server.errors import StartError
from bert_serving.server.options import OneLineParser
from bert_serving.server.streams import settle_streams
from bert_serving.server.transport.curve import make_keys


def main() -> None:
    """Exit status 0 when the keys are there, 1 if they could not be made."""
    settle_streams()
    parser = OneLineParser(
        prog="bert-serving-keygen",
        description="Make the server's keys, if there are none yet, and those of clients.",
        epilog="example: bert-serving-keygen /etc/bert-keys alice bob; then bert-serving-start -curve_dir "
        "/etc/bert-keys, and BertClient(curve='alice') with the folder that alice was given",
    )
    parser.add_argument("folder", type=Path, help="for -curve_dir of the server")
    parser.add_argument("name", nargs="*", help="of a client; one that begins with admin may stop the server remotely")
    args = parser.parse_args()
    for name in args.name:
        if not name.replace("-", "").replace("_", "").isalnum():
            parser.error(f"the name {name!r} may have letters, digits, - and _ alone")
    try:
        handed_out = make_keys(args.folder, args.name)
    except StartError as error:
        parser.error(str(error))
    except FileExistsError as error:
        parser.error(f"{error.filename} is there already: remove it and its key in clients/ to make a new one")
    except OSError as error:
        parser.error(f"the keys cannot be written: {error}")
    for folder in handed_out:
        print(f"hand out by a safe way: {folder}", file=sys.stdout)


if __name__ == "__main__":
    main()

"""`bert-serving-encode`: a file of texts to a file of vectors, by a running server or one of its own."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from bert_serving.client import BertClient, BertServingError
from bert_serving.client.stream import STREAM_BATCH_SIZE, progress_bar
from bert_serving.server.bulk.encoding import Block, encoded
from bert_serving.server.bulk.errors import BulkError
from bert_serving.server.bulk.outputs import OUTPUT_FORMATS, output_kind, write_output
from bert_serving.server.bulk.records import INPUT_FORMATS, Source, open_source
from bert_serving.server.bulk.spool import Kind, Spool
from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import BertServerError
from bert_serving.server.options import get_args_parser
from bert_serving.server.private import HERE, private_server

MOST_NAMED = 20
"""Records without a vector that are named one by one; the others are counted."""

_ABOUT_SERVER = (
    "model_dir", "tuned_model_dir", "ckpt_name", "pooling_strategy", "pooling_layer", "max_seq_len", "normalize",
    "mask_cls_sep", "dtype", "fp16",
)  # fmt: skip
"""What vectors depend on; of folders the last part, since they may lie elsewhere tomorrow."""


def main() -> None:
    """Exit status 0 when the output is there; 1 if it is not, which the last line explains; 2 for wrong options."""
    parser = get_encode_parser()
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an exception, so that a server of our own is stopped
    try:
        _encode_file(parser, args)
        sys.exit(0)
    except (BulkError, BertServerError, BertServingError) as error:
        problem = str(error)
    except OSError as error:
        problem = f"{error.strerror or error}: {error.filename or args.output}; mend that and go on with -resume"
    except KeyboardInterrupt:
        problem = "stopped; go on with -resume"
    sys.stderr.write(f"{parser.prog}: error: {problem}\n")
    sys.exit(1)


def get_encode_parser() -> argparse.ArgumentParser:
    """The options of `bert-serving-start`, for a server of its own, and those that are about the files."""
    parser = get_args_parser()
    parser.prog = "bert-serving-encode"
    parser.description = (
        "Encode a file of texts into a file of vectors, by the server at -ip, -port and -port_out, or with -model_dir "
        "by one that is started for it with any options of bert-serving-start."
    )
    parser.epilog = "example: bert-serving-encode texts.txt vectors.npy -model_dir /models/uncased_L-12_H-768_A-12"
    model_dir = next(action for action in parser._actions if action.dest == "model_dir")
    model_dir.required = False
    files = parser.add_argument_group("Files and the server that encodes")
    files.add_argument("input", metavar="IN", type=Path, help="text, JSON lines, CSV, TSV or Parquet")
    files.add_argument("output", metavar="OUT", type=Path, help=".npy, .npz, .jsonl, .parquet or .tfrecord")

    def add(name: str, text: str, **about: Any) -> None:
        files.add_argument(f"-{name}", f"--{name}", help=text, **about)

    add("column", "where the texts are in JSON, CSV and Parquet (default: text)", default="text")
    add("input_format", "if the name of IN does not say it", choices=INPUT_FORMATS)
    add("output_format", "if the name of OUT does not say it", choices=OUTPUT_FORMATS)
    add("resume", "go on where an earlier run has ended", action="store_true")
    add("overwrite", "replace an OUT that is there", action="store_true")
    add("on_error", "what becomes of a text that cannot be encoded: stop there, leave it out, or zeros for it "
        "(default: stop)", choices=("stop", "skip", "zero"), default="stop")  # fmt: skip
    add("batch_size", f"texts in a request (default: {STREAM_BATCH_SIZE})", type=_positive, default=STREAM_BATCH_SIZE)
    add("ip", "where the server is (default: localhost)", default="localhost")
    add("endpoints", "several servers, HOST:PORT:PORT_OUT each", nargs="+", metavar="SERVER")
    add("timeout", "milliseconds that a request may take (default: -1, no limit)", type=int, default=-1)
    add("curve", "folder with keys, for a server with -curve_dir", metavar="FOLDER")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def _encode_file(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    output: Path = args.output
    part = output.with_name(f"{output.name}.part")
    kind = output_kind(output, args.output_format)
    source = open_source(args.input, args.column, args.input_format)
    if output.exists() and args.resume and not part.exists():
        print(f"{output} is complete")
        return
    if output.exists() and not args.overwrite and not part.exists():
        raise BulkError(f"{output} is there already: name another file, or replace it by -overwrite")
    if part.exists() and not args.resume:
        raise BulkError(f"{part} is there, from a run that did not end: go on by -resume, or delete it")
    total = source.count()
    with _client(parser, args) as client:
        about = {"input_bytes": args.input.stat().st_size, "column": args.column, **_about(client.server_config)}
        with Spool(part, about, _row_shape(client)) as spool:
            num_cut = _encode_rest(client, source, spool, total, args)
            number = write_output(output, kind, source, spool)
    part.unlink()
    print(f"{output}: {number} vectors of shape {list(spool.shape)}, {total - number} left out, {num_cut} texts cut")


@contextmanager
def _client(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Iterator[BertClient]:
    """A client of the server that is to encode, which may have to be started first."""
    common: dict[str, Any] = {"check_length": False, "timeout": args.timeout}
    with ExitStack() as opened:
        if args.model_dir is None:
            if args.endpoints:
                common["endpoints"] = args.endpoints
            where = {"ip": args.ip, "port": args.port, "port_out": args.port_out, "curve": args.curve}
            yield opened.enter_context(BertClient(**where, **common))
            return
        try:
            server = private_server(ServerConfig.from_mapping(vars(args)))
        except BertServerError as error:
            parser.error(str(error))
        opened.enter_context(server)
        common.update(port=server.config.port, port_out=server.config.port_out)
        yield opened.enter_context(BertClient(HERE, **common))


def _about(config: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: config.get(name) for name in _ABOUT_SERVER}
    return {
        name: os.path.basename(value) if name.endswith("_dir") and value else value for name, value in known.items()
    }


def _row_shape(client: BertClient) -> tuple[int, ...]:
    """Of the vector of one text, or the matrix of its tokens, which must be the same for all."""
    config = client.server_config
    shape: tuple[int, ...] = client.encode(["hello"]).shape[1:]
    if len(shape) > 1 and config.get("max_seq_len") is None and not config.get("fixed_embed_length"):
        raise BulkError(
            "with -pooling_strategy NONE and -max_seq_len NONE each text has another number of vectors, which does not "
            "fit one array: give -max_seq_len a number, or -fixed_embed_length"
        )
    return shape


def _encode_rest(client: BertClient, source: Source, spool: Spool, total: int, args: argparse.Namespace) -> int:
    """Encode what the spool does not have yet; how many texts were cut."""
    records = islice(source.read(), spool.count, None)
    num_cut = num_bad = 0
    if spool.count:
        print(f"{spool.count} of {total} are done already", file=sys.stderr)
    with progress_bar(total, spool.count) as bar:
        for block in encoded(client, records, args.batch_size):
            _keep(block, spool, args)
            num_cut += block.num_cut
            for place, trouble in block.troubles.items():
                num_bad += 1
                if num_bad <= MOST_NAMED:
                    print(f"{source.path}, line {block.records[place].line}: {trouble}", file=sys.stderr)
            bar.update(len(block.records))
    if num_bad > MOST_NAMED:
        print(f"and {num_bad - MOST_NAMED} more", file=sys.stderr)
    return num_cut


def _keep(block: Block, spool: Spool, args: argparse.Namespace) -> None:
    """Raises BulkError at the first text that cannot be encoded, unless `-on_error` says what becomes of it."""
    end = min(block.troubles, default=len(block.records)) if args.on_error == "stop" else len(block.records)
    bad = Kind.SKIPPED if args.on_error == "skip" else Kind.ZERO
    kinds = [bad if place in block.troubles else Kind.VECTOR for place in range(end)]
    spool.append(kinds, block.vectors[:end])
    if end < len(block.records):
        raise BulkError(
            f"{args.input}, line {block.records[end].line}: {block.troubles[end]}; mend it, or go on by -resume with "
            "-on_error skip or zero"
        )


if __name__ == "__main__":
    main()

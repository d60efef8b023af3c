"""`bert-serving-encode`: encodes files of texts into files of vectors, with a server or with actors of Ray."""

from __future__ import annotations

import argparse
import codecs
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bert_serving.client import BertClient, BertServingError
from bert_serving.client.stream import STREAM_BATCH_SIZE
from bert_serving.server.bulk.by_server import ServerEncoder
from bert_serving.server.bulk.encoding import Encoder, Rest
from bert_serving.server.bulk.errors import BulkError, require
from bert_serving.server.bulk.formats import INPUT_FORMATS, QUOTES, Reading
from bert_serving.server.bulk.job import Rules, encode_files, rests_of, undone
from bert_serving.server.bulk.outputs import OUTPUT_FORMATS
from bert_serving.server.bulk.standard_streams import check_single, input_of, output_of
from bert_serving.server.bulk.tasks import Wanted, tasks_of
from bert_serving.server.cli.signals import end_by_exception
from bert_serving.server.command_line import OneLineParser
from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import BertServerError
from bert_serving.server.log import set_up_logging
from bert_serving.server.options import add_server_options
from bert_serving.server.service.throwaway import HERE, throwaway_server
from bert_serving.server.streams import settle_streams

_DESCRIPTION = """Encode files of texts into files of vectors: with the server at -ip, -port and -port_out; or,
with -model_dir, with a server started for this job; or, with -engine ray, with actors on a Ray cluster."""
_EXAMPLES = """examples:
  bert-serving-encode texts.txt vectors.npy -model_dir /models/uncased_L-12_H-768_A-12
  bert-serving-encode 'logs/*.jsonl' vectors/ -output_format parquet -column body -ip 10.0.0.7
  zcat texts.gz | bert-serving-encode - - | jq -c .embedding
  bert-serving-encode s3://bucket/texts/ s3://bucket/vectors/ -engine ray -num_worker 8 -model_dir /models/bert"""


def main() -> None:
    """Exit status 0 when the output is there; 1 if it is not, which the last line explains; 2 for wrong options."""
    settle_streams()
    parser = get_encode_parser()
    args = parser.parse_args()
    end_by_exception()
    try:
        _encode(parser, args)
        sys.exit(0)
    except (BulkError, BertServerError, BertServingError) as error:
        problem = str(error)
    except OSError as error:
        what = f"{error.strerror}: {error.filename or args.output}" if error.strerror else str(error)
        problem = f"{what}; fix that, then continue with -resume"
    except KeyboardInterrupt:
        problem = "stopped; continue with -resume"
    sys.stderr.write(f"{parser.prog}: error: {problem}\n")
    sys.exit(1)


def get_encode_parser() -> OneLineParser:
    """The options about the files, and those of `bert-serving-start` for a server of its own or a Ray cluster."""
    parser = OneLineParser(
        prog="bert-serving-encode", usage="%(prog)s IN OUT [options]", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    files = parser.add_argument_group("Files and what encodes them")
    files.add_argument(
        "input", metavar="IN", help="text, JSON, CSV, TSV or Parquet, also compressed: a file, a folder, a quoted "
        "pattern such as 'texts/*.jsonl', or a URL of any of these (s3://, gs://, abfs://, file://); -: standard input",
    )  # fmt: skip
    files.add_argument(
        "output", metavar="OUT", help=".npy, .npz, .jsonl, .parquet or .tfrecord, or a URL of one; if IN is several "
        "files, a folder or its URL, which gets one file for each; -: standard output",
    )  # fmt: skip

    def add(name: str, text: str, **about: Any) -> None:
        if choices := about.get("choices"):
            about["metavar"] = "|".join(choices)
        files.add_argument(f"-{name}", f"--{name}", help=text, **about)

    add("column", "column or key of the texts in JSON, CSV and Parquet (default: text)", default="text", metavar="NAME")
    add("input_format", "format of IN, if neither its name nor its content tells", choices=INPUT_FORMATS)
    add("delimiter", "delimiter of CSV cells, if the first line does not tell; \\t is a tab", type=_delimiter,
        metavar="CHAR")  # fmt: skip
    add("quotes", "whether CSV cells may be quoted; auto: yes, but not in tab-separated files (default: auto)",
        choices=QUOTES, default="auto")  # fmt: skip
    add("encoding", "encoding of IN if it has no byte order mark, such as cp1252 (default: utf-8)", type=_encoding,
        metavar="NAME")  # fmt: skip
    add("output_format", "format of OUT, if its name does not tell (default: npy for a folder, jsonl for standard "
        "output)", choices=OUTPUT_FORMATS)  # fmt: skip
    add("resume", "continue an earlier run; files that are already there are complete", action="store_true")
    add("overwrite", "replace OUT, and start over what an earlier run did not finish", action="store_true")
    add("on_error", "what to do with a text that cannot be encoded: stop, skip it, or write zeros for it "
        "(default: stop)", choices=("stop", "skip", "zero"), default="stop")  # fmt: skip
    add("batch_size", f"texts in one request, or in one call of an actor (default: {STREAM_BATCH_SIZE})",
        type=_positive, default=STREAM_BATCH_SIZE, metavar="N")  # fmt: skip
    add("spool_dir", "folder for vectors of an unfinished file, if OUT is a URL (default: the current folder)",
        type=Path, default=Path(), metavar="FOLDER")  # fmt: skip
    add("engine", "what encodes; local: a server; ray: -num_worker actors, each with -ray_resources, on the cluster at "
        "-ray_address (default: local)", choices=("local", "ray"), default="local", dest="bulk_engine")  # fmt: skip
    add("ip", "address of the server (default: localhost)", default="localhost", metavar="HOST")
    add("endpoints", "several servers, in place of -ip, -port and -port_out", nargs="+",
        metavar="HOST:PORT:PORT_OUT")  # fmt: skip
    add("timeout", "milliseconds that one request may take (default: -1, no limit)", type=int, default=-1,
        metavar="MS")  # fmt: skip
    add("curve", "folder with keys, for a server with -curve_dir", metavar="FOLDER")
    add_server_options(parser, needs_model=False)
    parser.add_help_and_version()
    return parser


def _delimiter(text: str) -> str:
    sign = "\t" if text == "\\t" else text
    if len(sign) != 1 or sign in '\r\n"':
        raise argparse.ArgumentTypeError(f"must be one character other than a quote or a line end, not {text!r}")
    return sign


def _encoding(text: str) -> str:
    try:
        if codecs.lookup(text)._is_text_encoding:
            return text
    except LookupError:
        pass
    raise argparse.ArgumentTypeError(
        f"must be an encoding that Python knows, such as utf-16-le or cp1252, not {text!r}"
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def _encode(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if args.bulk_engine == "ray":  # what is missing is said before a file is read
        for package in ("ray", "pandas", "pyarrow"):
            require(package, "-engine ray", extra="ray")
        if args.model_dir is None:
            parser.error("-engine ray needs -model_dir: the folder of the model that the actors load")
    rules = Rules(args.resume, args.overwrite, args.on_error)
    reading = Reading(args.column, args.input_format, args.delimiter, args.quotes, args.encoding)
    with input_of(args.input) as given, output_of(args.output, args.output_format) as output:
        _encode_from(parser, args, Wanted(given, output, reading, args.output_format, args.spool_dir), rules)


def _encode_from(parser: argparse.ArgumentParser, args: argparse.Namespace, wanted: Wanted, rules: Rules) -> None:
    all_tasks = tasks_of(wanted)
    check_single(args.output, wanted.output, [task.output.name for task in all_tasks])
    tasks = undone(all_tasks, rules)
    rests = rests_of(tasks)
    if tasks:
        opened = _on_ray if args.bulk_engine == "ray" else _by_server
        with opened(parser, args, rests) as encoder:
            encode_files(tasks, encoder, rules)


@contextmanager
def _on_ray(parser: argparse.ArgumentParser, args: argparse.Namespace, rests: Sequence[Rest]) -> Iterator[Encoder]:
    from bert_serving.server.bulk.on_ray import ray_encoder  # slow to import

    try:
        config = ServerConfig.from_mapping(vars(args))
        set_up_logging("BULK", config.verbose)
        resolved = importlib.import_module(config.engine).resolve(config)
    except BertServerError as error:
        parser.error(str(error))
    with ray_encoder(resolved, rests, args.batch_size) as encoder:
        yield encoder


@contextmanager
def _by_server(parser: argparse.ArgumentParser, args: argparse.Namespace, rests: Sequence[Rest]) -> Iterator[Encoder]:
    """By a server that may have to be started first."""
    common: dict[str, Any] = {"check_length": False, "timeout": args.timeout}
    with ExitStack() as opened:
        if args.model_dir is None:
            if args.endpoints:
                common["endpoints"] = args.endpoints
            where = {"ip": args.ip, "port": args.port, "port_out": args.port_out, "curve": args.curve}
            client = opened.enter_context(BertClient(**where, **common))
        else:
            try:
                server = throwaway_server(ServerConfig.from_mapping(vars(args)))
            except BertServerError as error:
                parser.error(str(error))
            opened.enter_context(server)
            common.update(port=server.config.port, port_out=server.config.port_out)
            client = opened.enter_context(BertClient(HERE, **common))
        yield ServerEncoder(client, rests, args.batch_size)


if __name__ == "__main__":
    main()

"""`bert-serving-verify`: starts a server and compares its vectors with a reference."""

from __future__ import annotations

import sys

from bert_serving.client import BertServingError
from bert_serving.server.cli.signals import end_by_exception
from bert_serving.server.command_line import OneLineParser
from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import BertServerError
from bert_serving.server.options import add_server_options
from bert_serving.server.service.server import BertServer
from bert_serving.server.service.throwaway import throwaway_server
from bert_serving.server.streams import settle_streams
from bert_serving.server.verify.comparison import Tolerance, advice, apart, compare_all, table, verdict
from bert_serving.server.verify.reference import find_encoder, reference_vectors
from bert_serving.server.verify.sentences import SENTENCES
from bert_serving.server.verify.served import encode


def main() -> None:
    """Exit status 0 if all vectors are the same; 1 if one is not, or nothing could be compared, 2 for wrong options."""
    settle_streams()
    parser = get_verify_parser()
    args = parser.parse_args()
    end_by_exception()
    try:
        try:
            server = throwaway_server(ServerConfig.from_mapping(vars(args)))
        except BertServerError as error:
            parser.error(str(error))
        sys.exit(0 if verify(server) else 1)
    except (BertServerError, BertServingError) as error:
        problem = str(error)
    except KeyboardInterrupt:
        problem = "stopped before all was compared: run it again"
    sys.stderr.write(f"{parser.prog}: error: {problem}\n")
    sys.exit(1)


def get_verify_parser() -> OneLineParser:
    """The options of `bert-serving-start`."""
    parser = OneLineParser(
        prog="bert-serving-verify",
        usage="%(prog)s -model_dir FOLDER [options]",
        description="Start a server with these options, and compare its vectors of built-in sentences with those of a "
        "reference.\nThe server listens on free local ports: -port, -port_out, -host, -http_port and -curve_dir have "
        "no effect.",
        epilog="example:\n  bert-serving-verify -model_dir /models/uncased_L-12_H-768_A-12 -pooling_layer -4 -3 -2 -1",
    )
    add_server_options(parser)
    parser.add_help_and_version()
    return parser


def verify(server: BertServer) -> bool:
    """Start, ask and stop it, and print the comparison; whether all vectors are the same."""
    found = encode(server, SENTENCES)
    config = server.config
    print(f"server: {_options(config)}")
    encoder = find_encoder(config)
    print(f"reference: {encoder.name}", flush=True)
    comparisons = compare_all(SENTENCES, list(found), reference_vectors(config, encoder, SENTENCES))
    tolerance = Tolerance.of(config)
    print(table(comparisons, tolerance))
    is_same = not apart(comparisons, tolerance)
    if not is_same:
        print(advice(comparisons))
    print(verdict(comparisons, tolerance))
    return is_same


def _options(config: ServerConfig) -> str:
    """Those that make the vectors what they are, also where the model's folder has set them."""
    layers = " ".join(map(str, config.pooling_layer))
    strategies = " and ".join(strategy.name for strategy in config.poolings)
    return (
        f"-model_dir {config.model_dir} -pooling_strategy {strategies} -pooling_layer {layers} "
        f"-max_seq_len {config.max_seq_len or 'NONE'}{' -normalize' if config.normalize else ''}"
        f"{f' -prompt {config.prompt}' if config.prompt else ''}"
    )


if __name__ == "__main__":
    main()

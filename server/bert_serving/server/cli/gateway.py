"""`bert-serving-gateway`: serves HTTP for one or several running services."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bert_serving.client.keys import ClientKeys
from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import BertServerError, ConfigError
from bert_serving.server.gateway.config_files import content_of
from bert_serving.server.gateway.files import check_files
from bert_serving.server.gateway.model_table import Models, Place, models_of_arguments, models_of_file
from bert_serving.server.log import set_up_logging
from bert_serving.server.options import get_gateway_parser
from bert_serving.server.streams import settle_streams
from bert_serving.server.transport.descriptors import raise_limit
from bert_serving.server.transport.listeners import listen

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LARGEST_FILE = 1 << 20
"""Bytes of -models."""


def main() -> None:
    """Exit status 0 after an orderly stop; 1 if it could not start or go on, 2 for a wrong option."""
    settle_streams()
    parser = get_gateway_parser()
    args = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # they wait until it can heed them
    raise_limit()
    try:
        config = config_of(args)
        check_files(config)
        read = reader_of(args)
        models = read()
    except BertServerError as error:
        parser.error(str(error))
    set_up_logging("GATEWAY", config.verbose)
    try:
        assert config.http_port is not None
        with listen(config.http_host, config.http_port, "-http_port", "-http_host") as listener:
            asyncio.run(_serve(config, models, read, listener))
    except BertServerError as error:
        sys.stderr.write(f"{parser.prog}: error: {error}\n")
        sys.exit(1)


def config_of(args: argparse.Namespace) -> ServerConfig:
    """The options as a server's own gateway has them; the other options of a service do not matter here.

    Raises ConfigError.
    """
    port, port_out = [number for number in (1, 2, 3) if number != args.http_port][:2]
    elsewhere = {"model_dir": "elsewhere", "port": port, "port_out": port_out}
    return ServerConfig.from_mapping({**vars(args), **elsewhere})


def reader_of(args: argparse.Namespace) -> Callable[[], Models]:
    """What gives the services of each model, as they are said now. Raises ConfigError, as what it gives does."""
    given = getattr(args, "model", [])
    if bool(given) == (args.models is not None):
        raise ConfigError("name the services: either -model NAME=HOST:PORT:PORT_OUT, or -models FILE")
    if given:
        return lambda: _with_keys(models_of_arguments(given, args.curve))
    if args.curve is not None:
        raise ConfigError('-curve is for -model: in a -models file each endpoint has its own, curve = "FOLDER"')
    path = Path(args.models)
    return lambda: _with_keys(models_of_file(_content(path), path))


def _content(path: Path) -> bytes:
    try:
        content = content_of(path, LARGEST_FILE)
    except OSError as error:
        raise ConfigError(f"-models {path} cannot be read: {error.strerror}") from None
    if len(content) > LARGEST_FILE:
        raise ConfigError(f"-models {path} has more than {LARGEST_FILE} bytes")
    return content


def _with_keys(models: Models) -> Models:
    """The same with the keys that they say. Raises ConfigError."""
    return {name: [_with_key(name, place) for place in places] for name, places in models.items()}


def _with_key(name: str, place: Place) -> Place:
    if place.curve is None:
        return place
    try:
        return replace(place, keys=ClientKeys.load(place.curve))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{name} at {place.endpoint}: the keys cannot be used: {error}") from None


async def _serve(config: ServerConfig, models: Models, read: Callable[[], Models], listener: socket.socket) -> None:
    from bert_serving.server.gateway.lone import LoneGateway  # it needs packages that the config has looked for

    gateway = LoneGateway(config, models, read)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, gateway.stop)
    loop.add_signal_handler(signal.SIGHUP, gateway.read_again)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    await gateway.serve(listener)


if __name__ == "__main__":
    main()

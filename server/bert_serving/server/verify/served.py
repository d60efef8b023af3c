"""The vectors to verify: the answers of a real server."""

from __future__ import annotations

from collections.abc import Sequence

from bert_serving.client import BertClient
from bert_serving.server.engine.contract import FloatArray
from bert_serving.server.service.server import BertServer
from bert_serving.server.service.throwaway import HERE


def encode(server: BertServer, texts: Sequence[str]) -> FloatArray:
    """Start the server, have it encode the texts in one request, and stop it: an array `[B, ..]` as the client gets it.

    Raises:
        BertServerError: the server could not start.
        BertServingError: the request failed.
    """
    port, port_out = server.config.port, server.config.port_out
    # texts are cut on purpose, so nobody wants to be warned
    with server, BertClient(HERE, port, port_out, check_length=False) as client:
        vectors: FloatArray = client.encode(list(texts))
    return vectors

"""Client of bert-as-service: from texts to vectors in two lines.

from bert_serving.client import BertClient
BertClient().encode(["First do it", "then do it right", "then do it better"])
"""

from bert_serving.client.aio import AsyncBertClient
from bert_serving.client.base import VERSION as __version__
from bert_serving.client.base import Response, WithOffsets
from bert_serving.client.checks import TruncationWarning
from bert_serving.client.errors import (
    BadRequest,
    BertServingError,
    ClientClosed,
    ConnectFailed,
    DeadlineExceeded,
    InvalidInput,
    InvalidInputType,
    InvalidInputValue,
    MalformedMessage,
    ModelMismatch,
    RequestTimeout,
    RowFailed,
    ServerBusy,
    ServerError,
    ServerRestarted,
    ServerStopping,
    VersionMismatch,
)
from bert_serving.client.pool import ConcurrentBertClient
from bert_serving.client.scores import Hit, Label
from bert_serving.client.stream import Encoded
from bert_serving.client.sync import BertClient
from bert_serving.client.views import View

__all__ = [
    "AsyncBertClient",
    "BadRequest",
    "BertClient",
    "BertServingError",
    "ClientClosed",
    "ConcurrentBertClient",
    "ConnectFailed",
    "DeadlineExceeded",
    "Encoded",
    "Hit",
    "InvalidInput",
    "InvalidInputType",
    "InvalidInputValue",
    "Label",
    "MalformedMessage",
    "ModelMismatch",
    "RequestTimeout",
    "Response",
    "RowFailed",
    "ServerBusy",
    "ServerError",
    "ServerRestarted",
    "ServerStopping",
    "TruncationWarning",
    "VersionMismatch",
    "View",
    "WithOffsets",
    "__version__",
]

"""The bert-as-service server. `BertServer` starts it from Python; importing this loads no TensorFlow."""

from bert_serving.server.config import ServerConfig
from bert_serving.server.errors import BertServerError, ConfigError, ServiceError, StartError
from bert_serving.server.poolings import PoolingStrategy
from bert_serving.server.service.server import BertServer
from bert_serving.server.version import __version__

__all__ = [
    "BertServer",
    "BertServerError",
    "ConfigError",
    "PoolingStrategy",
    "ServerConfig",
    "ServiceError",
    "StartError",
    "__version__",
]

"""The files that a gateway reads while it runs, looked at before it starts."""

from __future__ import annotations

from bert_serving.server.config import ServerConfig
from bert_serving.server.gateway import api_keys, cl100k


def check_files(config: ServerConfig) -> None:
    """ConfigError where a gateway could not start with them."""
    if config.openai_token_ids == "cl100k":
        cl100k.check()
    if config.http_api_keys is not None:
        api_keys.check(config.http_api_keys)

"""`bert-serving-encode` with the fake engine: fake_encode.py IN OUT -model_dir fake ..."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from bert_serving.server.cli import encode
from bert_serving.server.config import ServerConfig

_from_mapping = ServerConfig.from_mapping


def with_fake_engine(values: Mapping[str, Any]) -> ServerConfig:
    return _from_mapping({**values, "engine": "fake_engine", "cpu": True})


if __name__ == "__main__":
    with patch.object(ServerConfig, "from_mapping", with_fake_engine):
        encode.main()

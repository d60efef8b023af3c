"""`bert-serving-start` with the fake engine: fake_start.py -model_dir fake ..."""

from __future__ import annotations

from unittest.mock import patch

from fake_encode import with_fake_engine

from bert_serving.server.cli import start
from bert_serving.server.config import ServerConfig

if __name__ == "__main__":
    with patch.object(ServerConfig, "from_mapping", with_fake_engine):
        start.main()

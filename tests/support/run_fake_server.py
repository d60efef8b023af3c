"""`bert-serving-start` with the fake engine: run_fake_server.py '{"port": 1, "port_out": 2, ...}'"""

from __future__ import annotations

import json
import sys

from bert_serving.server import BertServer, ServerConfig
from bert_serving.server.cli.start import serve
from bert_serving.server.streams import settle_streams

if __name__ == "__main__":
    settle_streams()
    values = {"model_dir": "fake", "engine": "fake_engine", "cpu": True}
    config = ServerConfig.from_mapping({**values, **json.loads(sys.argv[1])})
    sys.exit(serve(BertServer(config), "bert-serving-start"))

"""`bert-serving-start` with the engine of `noop_engine`; it takes the same options."""

from __future__ import annotations

import sys

from bert_serving.server import BertServer, ServerConfig
from bert_serving.server.cli.start import serve
from bert_serving.server.options import get_args_parser
from compare import sources

if __name__ == "__main__":
    sources.check(sources.CLIENT, sources.SERVER)
    parsed = get_args_parser().parse_args(["-model_dir", "none", "-cpu", *sys.argv[1:]])
    config = ServerConfig.from_mapping({**vars(parsed), "engine": "compare.noop_engine"})
    sys.exit(serve(BertServer(config), "noop_server"))

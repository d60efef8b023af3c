#!/usr/bin/env python3
"""Exit status 0 if the server in this container is ready to encode, else 1 with the reason."""

import os
import sys
import urllib.error
import urllib.request

PORT = os.environ.get("BERT_SERVING_HTTP_PORT", "8125")
HOST = os.environ.get("BERT_SERVING_HTTP_HOST", "0.0.0.0").strip("[]")
HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(HOST, HOST)
WHERE = f"[{HOST}]:{PORT}" if ":" in HOST else f"{HOST}:{PORT}"
# a proxy of the environment is for what lies outside of this container
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

try:
    opener.open(f"http://{WHERE}/health/ready", timeout=4).close()
except urllib.error.HTTPError as error:
    sys.exit(error.read().decode())
except OSError as error:
    sys.exit(f"nothing answers at {WHERE}: {error}")

#!/usr/bin/env python3
"""Exit status 0 if the server in this container is ready to encode, else 1 with the reason."""

import os
import sys
import urllib.error
import urllib.request

PORT = os.environ.get("BERT_SERVING_HTTP_PORT", "8125")

try:
    urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health/ready", timeout=4).close()
except urllib.error.HTTPError as error:
    sys.exit(error.read().decode())
except OSError as error:
    sys.exit(f"nothing answers on port {PORT}: {error}")

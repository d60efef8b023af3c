#!/usr/bin/env python3
"""Exit status 0 if the server in this container is ready to encode, else 1 with the reason. Never through a proxy."""

import http.client
import os
import sys

HOST = os.environ.get("BERT_SERVING_HTTP_HOST", "").strip().strip("[]")
PORT = os.environ.get("BERT_SERVING_HTTP_PORT", "").strip() or "8125"
LOCAL = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(HOST, HOST)

try:
    connection = http.client.HTTPConnection(LOCAL, int(PORT), timeout=3)
    connection.request("GET", "/health/ready")
    answer = connection.getresponse()
    text = answer.read().decode()
except (OSError, ValueError, http.client.HTTPException) as error:
    sys.exit(f"nothing answers at {LOCAL}, port {PORT}: {error}")
if answer.status != 200:
    sys.exit(text)

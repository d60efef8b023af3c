"""What of the service may be seen over HTTP: nothing that lets its reader act as somebody else. Pure.

Who knows an identity can subscribe to its answers, and who knows an address inside can speak to it. Over ZeroMQ a
client sees its own identity in its config, as in 1.10; over HTTP the reader is another than the gateway's client. So
identities are shown as hashes, by which they can be told apart, and of addresses nothing but their kind.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

HASH_DIGITS = 16
_ADDRESS = re.compile(r"^(ipc|tcp|inproc)://.*", re.DOTALL)


def hashed(identity: bytes) -> str:
    """An identity as it is shown: the first 16 hexadecimal digits of its SHA-256."""
    return sha256(identity).hexdigest()[:HASH_DIGITS]


def service_status(status: dict[str, Any]) -> dict[str, Any]:
    """What the service said of itself, with `client` hashed, addresses cut to their kind and no place of keys."""
    shown: dict[str, Any] = _without_addresses(status)
    if "client" in status:
        shown["client"] = hashed(str(status["client"]).encode(errors="replace"))
    for name in ("curve_dir", "http_api_keys"):
        if status.get(name) is not None:
            shown[name] = "(set)"
    return shown


def client_status(status: dict[str, Any], first_id: int) -> dict[str, Any]:
    """`BertClient.status` with the identity hashed, and requests numbered from 1 in the place of their ids."""
    pending = [request_id - first_id + 1 for request_id in status["pending_request"]]
    return {**status, "identity": hashed(status["identity"]), "pending_request": pending}


def _without_addresses(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_addresses(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_addresses(one) for one in value]
    if not isinstance(value, str):
        return value
    return _ADDRESS.sub(r"\1://(hidden)", value).encode(errors="replace").decode()  # names of files may be any bytes

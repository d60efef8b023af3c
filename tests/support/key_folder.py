"""Key files, as tests write and read them."""

from __future__ import annotations

from pathlib import Path

import zmq

from bert_serving.client.keys import KeyFile

OTHER = zmq.curve_keypair()[0].decode()


def text_of(key: str, secret: str = "") -> str:
    return f'curve\n    public-key = "{key}"\n' + (f'    secret-key = "{secret}"\n' if secret else "")


def key_of(clients: Path, name: str) -> str:
    return KeyFile.read(clients / f"{name}.key").public.decode()

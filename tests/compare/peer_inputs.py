"""How texts become token ids for the engines in process: python -m compare.peer_inputs MODEL_FOLDER TOKENS FILE

Writes a `tokenizer.json` in the way that transformers reads the folder: texts are cut to so many tokens, and padded by
the model's own id, from which RoBERTa and its like count positions. It runs in the environment of a peer.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any


def write(folder: Path, tokens: int, file: str) -> None:
    """The tokenizer of a folder."""
    transformers: Any = importlib.import_module("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder).backend_tokenizer
    padding = transformers.AutoConfig.from_pretrained(folder).pad_token_id or 0
    tokenizer.enable_truncation(tokens)
    tokenizer.enable_padding(pad_id=padding, pad_token=tokenizer.id_to_token(padding))
    tokenizer.save(file)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

"""OpenAI's vocabulary cl100k_base, as the package tiktoken has it: from a file that is here. Nothing is ever fetched.

tiktoken keeps what it has fetched in the folder TIKTOKEN_CACHE_DIR, under the SHA-1 of its URL, and would fetch it
where the file is missing or another. So both are looked at before tiktoken is asked.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha1, sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from bert_serving.server.errors import ConfigError
from bert_serving.server.gateway.config_files import content_of

NAME = "cl100k_base"
URL = f"https://openaipublic.blob.core.windows.net/encodings/{NAME}.tiktoken"
FILE_NAME = sha1(URL.encode(), usedforsecurity=False).hexdigest()
SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
FOLDER_VARIABLE = "TIKTOKEN_CACHE_DIR"
_FILE_BYTES = 1_681_126


class Vocabulary(Protocol):
    """What is needed of a `tiktoken.Encoding`."""

    @property
    def max_token_value(self) -> int:
        """The last id."""

    def decode_bytes(self, tokens: Sequence[int]) -> bytes:
        """The bytes of these tokens. KeyError or OverflowError if one of the ids is no token's."""


def check() -> None:
    """ConfigError if the vocabulary cannot be loaded, which says what to do."""
    if find_spec("tiktoken") is None:
        raise ConfigError(
            "-openai_token_ids cl100k needs tiktoken: install it with pip install 'bert-serving-server[tiktoken]'"
        )
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        raise ConfigError(
            f"-openai_token_ids cl100k needs the variable {FOLDER_VARIABLE}: the folder with OpenAI's vocabulary, "
            f"in which the file of {URL} is called {FILE_NAME}"
        )
    path = Path(folder, FILE_NAME)
    try:
        content = content_of(path, _FILE_BYTES)
    except OSError as error:
        raise ConfigError(
            f"-openai_token_ids cl100k: {path} ({FOLDER_VARIABLE}) cannot be read ({error.strerror}), and nothing is "
            f"fetched: put the file of {URL} there under that name"
        ) from None
    if sha256(content).hexdigest() != SHA256:
        raise ConfigError(
            f"-openai_token_ids cl100k: {path} ({FOLDER_VARIABLE}) is not the file of {URL}, whose SHA-256 is "
            f"{SHA256}: put that file there under the same name"
        )


def load() -> Vocabulary:
    """The vocabulary; takes about half a second. ConfigError as `check`."""
    check()
    import tiktoken  # slow to import, and there only where it is needed

    return tiktoken.get_encoding(NAME)

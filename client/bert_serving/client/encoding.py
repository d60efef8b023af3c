"""`encode` as callers see it: what each combination of arguments returns, for people and for type checkers.

Both blocking clients have it from here; `AsyncBertClient` has the same, to be awaited, in `aio.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Union, overload

import numpy as np
from numpy.typing import NDArray

from bert_serving.client.errors import in_short
from bert_serving.client.options import Asked, AskedOfOne, Options
from bert_serving.client.views import View

if TYPE_CHECKING:
    from typing_extensions import Unpack  # typing has it from Python 3.11 on

    from bert_serving.client.base import WithOffsets

Vectors = NDArray[np.float32]
"""`[B, D]`, or `[B, T, D]` from a server without pooling. With `-fp16` they are float16; with `output_fmt="list"` they
are nested lists, which type checkers do not see."""
Tokens = list[list[str]]
Encodable = Union[list[str], list[list[str]], list[list[int]], list[tuple[str, str]]]
"""Texts; with `is_tokenized` lists of tokens or of token ids; with `is_pair` pairs."""


class Encodes(ABC):
    """A client with a blocking `encode`."""

    @abstractmethod
    def _encode(
        self, texts: Any, blocking: bool, is_tokenized: bool, show_tokens: bool, show_progress: bool, options: Options
    ) -> Any: ...

    @overload
    def encode(
        self,
        texts: Encodable,
        blocking: Literal[True] = True,
        is_tokenized: bool = False,
        show_tokens: Literal[False] = False,
        show_progress: bool = False,
        *,
        views: None = None,
        offsets: Literal[False] = False,
        **asked: Unpack[AskedOfOne],
    ) -> Vectors: ...
    @overload
    def encode(
        self,
        texts: Encodable,
        blocking: Literal[True] = True,
        is_tokenized: bool = False,
        *,
        show_tokens: Literal[True],
        show_progress: bool = False,
        views: None = None,
        offsets: Literal[False] = False,
        **asked: Unpack[AskedOfOne],
    ) -> tuple[Vectors, Tokens]: ...
    @overload
    def encode(
        self,
        texts: Encodable,
        blocking: Literal[True] = True,
        is_tokenized: bool = False,
        show_tokens: Literal[False] = False,
        show_progress: bool = False,
        *,
        views: Sequence[View],
        offsets: Literal[False] = False,
        **asked: Unpack[AskedOfOne],
    ) -> list[Vectors]: ...
    @overload
    def encode(
        self,
        texts: Encodable,
        blocking: Literal[True] = True,
        is_tokenized: bool = False,
        show_tokens: bool = False,
        show_progress: bool = False,
        *,
        views: Sequence[View] | None = None,
        offsets: Literal[True],
        **asked: Unpack[AskedOfOne],
    ) -> WithOffsets: ...
    @overload
    def encode(
        self,
        texts: Encodable,
        blocking: Literal[False],
        is_tokenized: bool = False,
        show_tokens: bool = False,
        show_progress: bool = False,
        **asked: Unpack[Asked],
    ) -> None: ...
    @overload
    def encode(
        self,
        texts: Encodable,
        blocking: bool = True,
        is_tokenized: bool = False,
        show_tokens: bool = False,
        show_progress: bool = False,
        **asked: Unpack[Asked],
    ) -> Any: ...
    @in_short
    def encode(
        self,
        texts: Any,
        blocking: bool = True,
        is_tokenized: bool = False,
        show_tokens: bool = False,
        show_progress: bool = False,
        **asked: Unpack[Asked],
    ) -> Any:
        """Turn texts into vectors, row i for text i.

        Args:
            texts: a list of str; with `is_tokenized`, a list of lists of str. Longer lists are more efficient.
            blocking: wait for the vectors; if False return None at once, see `fetch` and `fetch_all`.
            is_tokenized: each text is a list of tokens.
            show_tokens: also return the tokens of each text as the server made them.
            show_progress: send the texts in batches and show a progress bar, if tqdm is installed.
            **asked: which vectors to return, see `Asked`: `pooling`, `layers`, `normalize` and `dimensions`, or
                several `views`; a `prompt`; how to `truncate`; `is_pair`; `offsets`.

        Returns:
            A writable array `[B, D]`, or `[B, T, D]` from a server without pooling (nested lists with
            `output_fmt="list"`); with `views` a list of such arrays, one for each view; with `show_tokens` a tuple of
            that and a list of tokens for each row, if the server sends them; with `offsets` a `WithOffsets`.

        Raises:
            InvalidInputType, InvalidInputValue: `texts` or the options cannot be sent.
            BadRequest: the server's model cannot do what is asked.
            RequestTimeout: no answer within `timeout`.
            ConnectFailed: the server is gone.
            ServerError: the server answered with an error.
            ClientClosed: the client was closed, or created before a fork.
        """
        return self._encode(texts, blocking, is_tokenized, show_tokens, show_progress, Options.asked(**asked))

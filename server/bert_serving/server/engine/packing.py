"""The layout of the tokens of a micro-batch while the encoder computes: packed without padding, or padded.

Dense layers run on a list of tokens, `[N, ..]`; attention needs rows, `[B, .., T, ..]`. A packing goes between the two.
Sizes in the comments: B rows, T tokens, N tokens in the list, A heads, D size of a head, W any width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from bert_serving.server.engine.micro_batch import PADDING
from bert_serving.server.engine.tensors import Tensor, load_tensorflow

LIST_STEP = 16
LEAST_LIST = 8
"""Tokens. For fewer, oneDNN packs weights in another way, and that anew in each run: a word would take longer than a
sentence."""
LONG_LIST = 64
"""Tokens. Up to here N is what it is: a few tokens more would be felt in a short sentence."""


def listed(tokens: int) -> int:
    """Tokens in the list of a micro-batch that has so many."""
    return tokens + -tokens % LIST_STEP if tokens > LONG_LIST else max(tokens, min(tokens, 1) * LEAST_LIST)


class Packing(ABC):
    """Between a list of tokens and rows."""

    positions: Tensor
    """The place of each token in its row, int32 `[N]`."""

    @abstractmethod
    def pack(self, values: Tensor) -> Tensor:
        """`[B, T]` to `[N]`."""

    @abstractmethod
    def unpack(self, x: Tensor) -> Tensor:
        """`[N, W]` to `[B, T, W]`; a row's padding repeats one of its own tokens, or is what padding came to."""

    @abstractmethod
    def split_heads(self, x: Tensor, heads: int) -> Tensor:
        """Query, key and value of each head side by side, `[N, A * 3 * D]`, to `[3, B, A, T, D]`."""

    @abstractmethod
    def join_heads(self, x: Tensor) -> Tensor:
        """`[B, A, T, D]` to `[N, A * D]`."""


class Packed(Packing):
    """Next to no padding in the list, so it costs nothing but in attention. N changes with each micro-batch.

    A long list ends with copies of the first token, up to a multiple of `LIST_STEP`: see `micro_batch.common_shape`.
    A very short one does, up to `LEAST_LIST`.
    """

    def __init__(self, mask: Tensor) -> None:
        """`mask [B, T]`: see `micro_batch.MicroBatch`."""
        tf = load_tensorflow()
        self._longest = tf.shape(mask)[1]  # (): T
        real = tf.not_equal(mask, PADDING)  # (B, T)
        places = tf.cast(tf.where(real), tf.int32)  # (N, 2): row and position of each token
        count = tf.shape(places)[0]  # ()
        few = tf.maximum(tf.minimum(count, 1) * LEAST_LIST - count, 0)  # ()
        spare = tf.where(count > LONG_LIST, -count % LIST_STEP, few)  # ()
        places = tf.pad(places, [[0, spare], [0, 0]])  # (N, 2)
        self._rows, self.positions = places[:, 0], places[:, 1]  # (N,) each
        self._in_rows = self._rows * self._longest + self.positions  # (N,): where in B * T each token is
        # where in N each token of a row is; padding gets the token before it
        order = tf.cumsum(tf.reshape(tf.cast(real, tf.int32), [-1]))  # (B * T,)
        self._in_list = tf.reshape(tf.maximum(order - 1, 0), tf.shape(mask))  # (B, T)
        self._by_heads: dict[int, tuple[Tensor, Tensor]] = {}

    def _pieces(self, heads: int) -> tuple[Tensor, Tensor]:
        """`_in_list` and `_in_rows` for the pieces of size D that a list and rows have: one gather of them does what a
        gather of whole tokens and a transposition would. `[3, B, A, T]` and `[N, A]`."""
        if heads not in self._by_heads:
            tf = load_tensorflow()
            head, part = tf.range(heads), tf.range(3)[:, None, None, None]  # (A,), (3, 1, 1, 1)
            in_list = self._in_list[:, None] * (3 * heads) + 3 * head[:, None] + part  # (3, B, A, T)
            first = self._rows * (heads * self._longest) + self.positions  # (N,)
            self._by_heads[heads] = in_list, first[:, None] + head * self._longest
        return self._by_heads[heads]

    def pack(self, values: Tensor) -> Tensor:
        tf = load_tensorflow()
        return tf.gather(tf.reshape(values, [-1]), self._in_rows)  # (N,)

    def unpack(self, x: Tensor) -> Tensor:
        return load_tensorflow().gather(x, self._in_list)  # (B, T, W)

    def split_heads(self, x: Tensor, heads: int) -> Tensor:
        tf = load_tensorflow()
        return tf.gather(tf.reshape(x, [-1, x.shape[1] // (3 * heads)]), self._pieces(heads)[0])  # (3, B, A, T, D)

    def join_heads(self, x: Tensor) -> Tensor:
        tf = load_tensorflow()
        heads, size = x.shape[1], x.shape[3]
        return tf.reshape(
            tf.gather(tf.reshape(x, [-1, size]), self._pieces(heads)[1]), [-1, heads * size]
        )  # (N, A * D)


class Padded(Packing):
    """N is B * T: shapes depend on those of the inputs alone, as XLA needs it."""

    def __init__(self, mask: Tensor) -> None:
        tf = load_tensorflow()
        self._shape = tf.shape(mask)  # (2,): B, T
        self.positions = tf.tile(tf.range(self._shape[1]), self._shape[:1])  # (N,)

    def pack(self, values: Tensor) -> Tensor:
        return load_tensorflow().reshape(values, [-1])  # (N,)

    def unpack(self, x: Tensor) -> Tensor:
        tf = load_tensorflow()
        return tf.reshape(x, tf.stack([self._shape[0], self._shape[1], x.shape[1]]))  # (B, T, W)

    def split_heads(self, x: Tensor, heads: int) -> Tensor:
        tf = load_tensorflow()
        size = x.shape[1] // (3 * heads)
        x = tf.reshape(x, tf.stack([self._shape[0], self._shape[1], heads, 3, size]))  # (B, T, A, 3, D)
        return tf.transpose(x, [3, 0, 2, 1, 4])  # (3, B, A, T, D)

    def join_heads(self, x: Tensor) -> Tensor:
        tf = load_tensorflow()
        return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [-1, x.shape[1] * x.shape[3]])  # (N, A * D)

"""How the tokens of a micro-batch lie while the encoder computes: packed without padding, or padded.

Dense layers run on a list of tokens, `[N, ..]`; attention needs rows, `[B, .., T, ..]`. A packing goes between the two.
Sizes in the comments: B rows, T tokens, N tokens in the list, A heads, D size of a head, W any width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from bert_serving.server.engine.features import PADDING
from bert_serving.server.engine.tensors import Tensor, load_tensorflow

LIST_STEP = 16
LONG_LIST = 64
"""Tokens. Up to here N is what it is: a few tokens more would be felt in a short sentence."""


def listed(tokens: int) -> int:
    """Tokens in the list of a micro-batch that has so many."""
    return tokens if tokens <= LONG_LIST else tokens + -tokens % LIST_STEP


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
    def split_heads(self, x: Tensor) -> Tensor:
        """Query, key and value side by side, `[N, 3 * A * D]`, to `[3, B, A, T, D]`."""

    @abstractmethod
    def join_heads(self, x: Tensor) -> Tensor:
        """`[B, A, T, D]` to `[N, A * D]`."""


class Packed(Packing):
    """Next to no padding in the list, so it costs nothing but in attention. N changes with each micro-batch.

    A long list ends with copies of the first token, up to a multiple of `LIST_STEP`: see `features.common_shape`.
    """

    def __init__(self, mask: Tensor, heads: int) -> None:
        """`mask [B, T]`: see `features.MicroBatch`."""
        tf = load_tensorflow()
        longest = tf.shape(mask)[1]  # (): T
        real = tf.not_equal(mask, PADDING)  # (B, T)
        places = tf.cast(tf.where(real), tf.int32)  # (N, 2): row and position of each token
        spare = tf.where(tf.shape(places)[0] > LONG_LIST, -tf.shape(places)[0] % LIST_STEP, 0)  # ()
        places = tf.pad(places, [[0, spare], [0, 0]])  # (N, 2)
        rows, self.positions = places[:, 0], places[:, 1]  # (N,) each
        self._in_rows = rows * longest + self.positions  # (N,): where in B * T each token is
        # where in N each token of a row is; padding gets the token before it
        count = tf.cumsum(tf.reshape(tf.cast(real, tf.int32), [-1]))  # (B * T,)
        self._in_list = tf.reshape(tf.maximum(count - 1, 0), tf.shape(mask))  # (B, T)
        # the same for the pieces of size D that a list and rows have: one gather of them does what a gather of whole
        # tokens and a transposition would
        head, part = tf.range(heads), tf.range(3)[:, None, None, None]  # (A,), (3, 1, 1, 1)
        self._pieces_in_list = self._in_list[:, None] * (3 * heads) + head[:, None] + part * heads  # (3, B, A, T)
        first = rows * (heads * longest) + self.positions  # (N,)
        self._pieces_in_rows = first[:, None] + head * longest  # (N, A)

    def pack(self, values: Tensor) -> Tensor:
        tf = load_tensorflow()
        return tf.gather(tf.reshape(values, [-1]), self._in_rows)  # (N,)

    def unpack(self, x: Tensor) -> Tensor:
        return load_tensorflow().gather(x, self._in_list)  # (B, T, W)

    def split_heads(self, x: Tensor) -> Tensor:
        tf = load_tensorflow()
        heads = self._pieces_in_rows.shape[1]
        return tf.gather(tf.reshape(x, [-1, x.shape[1] // (3 * heads)]), self._pieces_in_list)  # (3, B, A, T, D)

    def join_heads(self, x: Tensor) -> Tensor:
        tf = load_tensorflow()
        heads, size = x.shape[1], x.shape[3]
        return tf.reshape(tf.gather(tf.reshape(x, [-1, size]), self._pieces_in_rows), [-1, heads * size])  # (N, A * D)


class Padded(Packing):
    """N is B * T: shapes depend on those of the inputs alone, as XLA needs it."""

    def __init__(self, mask: Tensor, heads: int) -> None:
        tf = load_tensorflow()
        self._heads = heads
        self._shape = tf.shape(mask)  # (2,): B, T
        self.positions = tf.tile(tf.range(self._shape[1]), self._shape[:1])  # (N,)

    def pack(self, values: Tensor) -> Tensor:
        return load_tensorflow().reshape(values, [-1])  # (N,)

    def unpack(self, x: Tensor) -> Tensor:
        tf = load_tensorflow()
        return tf.reshape(x, tf.stack([self._shape[0], self._shape[1], x.shape[1]]))  # (B, T, W)

    def split_heads(self, x: Tensor) -> Tensor:
        tf = load_tensorflow()
        size = x.shape[1] // (3 * self._heads)
        x = tf.reshape(x, tf.stack([self._shape[0], self._shape[1], 3, self._heads, size]))  # (B, T, 3, A, D)
        return tf.transpose(x, [2, 0, 3, 1, 4])  # (3, B, A, T, D)

    def join_heads(self, x: Tensor) -> Tensor:
        tf = load_tensorflow()
        return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [-1, x.shape[1] * x.shape[3]])  # (N, A * D)

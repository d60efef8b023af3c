"""AsyncBertClient: the same client for asyncio; any number of calls await on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from bert_serving.client.base import BaseClient, WithOffsets, without_offsets
from bert_serving.client.encoding import Encodable, Tokens, Vectors
from bert_serving.client.errors import BertServingError
from bert_serving.client.options import NO_OPTIONS, Asked, AskedOfOne, Options
from bert_serving.client.scores import Hit, Label, classifying, hits_of, labelled, labels_in, ranking
from bert_serving.client.stream import STREAM_BATCH_SIZE, Encoded, Window, batches, checked_size
from bert_serving.client.views import View
from bert_serving.client.wire import Command, JsonReply, RowsReply

if TYPE_CHECKING:
    from typing_extensions import Unpack  # typing has it from Python 3.11 on

_T = TypeVar("_T")


class AsyncBertClient(BaseClient):
    """Client for asyncio. Takes the arguments of `BertClient`, and connects where it may wait:

        async with AsyncBertClient() as bc:
            await bc.encode(["First do it", "then do it right"])

    or `bc = await AsyncBertClient.connect()`, and later `await bc.close()`. Cancelling a call abandons its request
    without telling the server. The server does know `timeout`, and stops computing what nobody waits for any more.
    """

    @classmethod
    async def connect(cls: type[_T], *args: Any, **kwargs: Any) -> _T:
        """A connected client, made from the arguments of `AsyncBertClient`. Raises ConnectFailed, VersionMismatch."""
        client = cls(*args, **kwargs)
        await cast(AsyncBertClient, client).__aenter__()
        return client

    @overload
    async def encode(
        self,
        texts: Encodable,
        is_tokenized: bool = False,
        show_tokens: Literal[False] = False,
        *,
        views: None = None,
        offsets: Literal[False] = False,
        **asked: Unpack[AskedOfOne],
    ) -> Vectors: ...
    @overload
    async def encode(
        self,
        texts: Encodable,
        is_tokenized: bool = False,
        *,
        show_tokens: Literal[True],
        views: None = None,
        offsets: Literal[False] = False,
        **asked: Unpack[AskedOfOne],
    ) -> tuple[Vectors, Tokens]: ...
    @overload
    async def encode(
        self,
        texts: Encodable,
        is_tokenized: bool = False,
        show_tokens: Literal[False] = False,
        *,
        views: Sequence[View],
        offsets: Literal[False] = False,
        **asked: Unpack[AskedOfOne],
    ) -> list[Vectors]: ...
    @overload
    async def encode(
        self,
        texts: Encodable,
        is_tokenized: bool = False,
        show_tokens: bool = False,
        *,
        views: Sequence[View] | None = None,
        offsets: Literal[True],
        **asked: Unpack[AskedOfOne],
    ) -> WithOffsets: ...
    @overload
    async def encode(
        self, texts: Encodable, is_tokenized: bool = False, show_tokens: bool = False, **asked: Unpack[Asked]
    ) -> Any: ...
    async def encode(
        self, texts: Any, is_tokenized: bool = False, show_tokens: bool = False, **asked: Unpack[Asked]
    ) -> Any:
        """Turn texts into vectors, as `BertClient.encode` does."""
        try:
            options = Options.asked(**asked)
            reply = await self.request(texts, is_tokenized, options=options)
            return self._select(reply, options, show_tokens)
        except BertServingError as error:
            raise error.with_traceback(None) from None  # see `in_short`

    async def rank(self, query: str, documents: Sequence[str], top_k: int | None = None) -> list[Hit]:
        """As `BertClient.rank`."""
        pairs, options = ranking(query, documents, top_k)
        return hits_of((await self.request(pairs, options=options)).array, top_k) if pairs else []

    async def classify(self, texts: Encodable) -> list[list[Label]]:
        """As `BertClient.classify`."""
        labels = labels_in(self._config or await self.server_config())
        reply = await self.request(texts, options=classifying(labels))
        self._warn_truncated(reply.truncated, len(reply.array))
        return labelled(reply.array, labels)

    async def request(
        self, texts: Any, is_tokenized: bool = False, timeout_s: float | None = None, options: Options = NO_OPTIONS
    ) -> RowsReply:
        """The server's whole reply: vectors, tokens, the number of tokens, and which texts were cut.

        `timeout_s`, if given, replaces the client's `timeout`.
        """
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        asked = self._ask_rows(texts, is_tokenized, options.in_time(timeout_s))
        return cast(RowsReply, await self._wait(asked.future, timeout_s))

    async def encode_stream(
        self,
        texts: Iterable[Any] | AsyncIterable[Any],
        batch_size: int = STREAM_BATCH_SIZE,
        max_in_flight: int | None = None,
        in_order: bool = True,
        is_tokenized: bool = False,
        keep_errors: bool = False,
        **asked: Unpack[Asked],
    ) -> AsyncGenerator[Encoded, None]:
        """As `BertClient.encode_stream`; `texts` may also be an asynchronous iterable."""
        options = without_offsets(Options.asked(**asked), "encode_stream")
        window: Window[asyncio.Task[RowsReply]] = Window(self._window(max_in_flight), in_order)

        has_warned = False

        async def take() -> Encoded:
            nonlocal has_warned
            done, _ = await asyncio.wait(window.awaited, return_when=asyncio.FIRST_COMPLETED)
            start, count, task = window.take(done)
            error = task.exception()
            if error is None:
                part = self._encoded(start, count, task.result(), options, has_warned)
                has_warned = has_warned or bool(part.truncated)
                return part
            if not keep_errors or not isinstance(error, Exception):
                raise error
            return Encoded(start, count, None, error)

        try:
            async for start, batch in _batches(texts, batch_size):
                if window.is_full:
                    yield await take()
                task = asyncio.create_task(self.request(batch, is_tokenized, options=options))
                window.add(task, start, len(batch))
            while window:
                yield await take()
        finally:
            for task in window.under_way:
                task.cancel()
            await asyncio.gather(*window.under_way, return_exceptions=True)

    async def server_config(self) -> dict[str, Any]:
        """The server's arguments and versions."""
        return await self._ask_json(Command.SHOW_CONFIG)

    async def server_status(self) -> dict[str, Any]:
        """The server's config, and statistics about its work."""
        return await self._ask_json(Command.SHOW_STATUS)

    async def close(self) -> None:
        """Fail what is pending with ClientClosed and close the connection; a second time does nothing."""
        if self._connection is not None:
            await asyncio.to_thread(self._connection.close)

    async def __aenter__(self: _T) -> _T:
        await cast(AsyncBertClient, self)._open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _open(self) -> None:
        connection = self._connect()
        if not self._needs_config:
            return
        try:
            self._accept(await asyncio.wrap_future(connection.handshake()))
        except BaseException:
            await self.close()
            raise

    async def _ask_json(self, command: Command) -> dict[str, Any]:
        reply = await self._wait(self._connected().request_json(command).future, self._timeout_s)
        return cast(JsonReply, reply).content

    async def _wait(self, future: Future[Any], timeout_s: float | None) -> Any:
        awaitable = asyncio.wrap_future(future)
        try:
            await asyncio.wait([awaitable], timeout=timeout_s)
        except BaseException:  # cancelled
            future.cancel()
            raise
        if future.cancel():
            raise self._timed_out(timeout_s)
        return await awaitable


async def _batches(texts: Iterable[Any] | AsyncIterable[Any], batch_size: int) -> AsyncIterator[tuple[int, list[Any]]]:
    if not isinstance(texts, AsyncIterable):
        for start, batch in batches(texts, batch_size):
            yield start, batch
        return
    start, gathered, batch_size = 0, [], checked_size("batch_size", batch_size)
    async for text in texts:
        gathered.append(text)
        if len(gathered) == batch_size:
            yield start, gathered
            start, gathered = start + batch_size, []
    if gathered:
        yield start, gathered

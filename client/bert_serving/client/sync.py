"""BertClient: vectors in two lines of Python, from as many threads as you like."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as NotInTime  # one with TimeoutError from Python 3.11 on
from functools import partial
from itertools import islice
from typing import Any, TypeVar, cast

import numpy as np

from bert_serving.client.arrivals import Arrivals
from bert_serving.client.base import BaseClient, Response
from bert_serving.client.checks import check_texts
from bert_serving.client.errors import InvalidInput, RowFailed
from bert_serving.client.options import Options
from bert_serving.client.pending import Listener
from bert_serving.client.stream import STREAM_BATCH_SIZE, Encoded, Window, batches, joined, progress_bar
from bert_serving.client.wire import Command, JsonReply, Reply, RowsReply

ASYNC_WINDOW = 64
"""Batches that `encode_async` has in flight or waiting for its consumer."""

_T = TypeVar("_T")


class BertClient(BaseClient):
    """Blocking client, safe to share between threads; a context manager.

        with BertClient() as bc:
            bc.encode(["First do it", "then do it right", "then do it better"])

    `server_status` and `server_config` ask the server, `status` tells about this client.
    """

    def _start(self) -> None:
        self._unfetched = Arrivals()
        connection = self._connect()
        if not self._needs_config:
            return
        try:
            self._accept(connection.handshake().result())
        except BaseException:
            connection.close()
            raise

    def encode(
        self,
        texts: Any,
        blocking: bool = True,
        is_tokenized: bool = False,
        show_tokens: bool = False,
        show_progress: bool = False,
    ) -> Any:
        """Turn texts into vectors, row i for text i.

        Args:
            texts: a list of str; or, if `is_tokenized`, a list of lists of str. The longer, the more efficient.
            blocking: wait for the vectors; else return None at once, and see `fetch` and `fetch_all`.
            is_tokenized: whether each text is a list of tokens.
            show_tokens: also return the tokens of each text as the server made them.
            show_progress: send the texts in batches and show a bar, if tqdm is installed.

        Returns:
            A writable array `[B, D]`, or `[B, T, D]` from a server without pooling (or nested lists, see
            `output_fmt`); with `show_tokens` a tuple of that and a list of tokens a row, if the server sends them.

        Raises:
            InvalidInputType, InvalidInputValue: `texts` cannot be sent.
            RequestTimeout: no answer within `timeout`.
            ConnectFailed: the server is gone.
            ServerError: the server answered with an error.
            ClientClosed: the client was closed, or made before a fork.
        """
        if not blocking:
            self._unfetched.expect(lambda: self._ask_rows(texts, is_tokenized))
            return None
        if show_progress:
            reply = self._encode_with_progress(check_texts(texts, is_tokenized), is_tokenized)
        else:
            reply = cast(RowsReply, self._wait(self._ask_in_time(texts, is_tokenized)))
        return self._select(self._response(reply), show_tokens)

    def encode_stream(
        self,
        texts: Iterable[Any],
        batch_size: int = STREAM_BATCH_SIZE,
        max_in_flight: int | None = None,
        in_order: bool = True,
        is_tokenized: bool = False,
        keep_errors: bool = False,
    ) -> Generator[Encoded, None, None]:
        """Encode texts without an end: whatever their number, only some batches are in memory at a time.

        Args:
            texts: any iterable of what `encode` takes in a list. It is read as batches are sent.
            batch_size: texts in a batch.
            max_in_flight: batches that are under way, or done and not taken yet; by default 8 for each server.
            in_order: yield batches in the order of the texts, else as they come.
            is_tokenized: whether each text is a list of tokens.
            keep_errors: yield what went wrong with a batch as its `error` and go on with the next; else it is raised.

        Yields:
            Encoded, which says where in `texts` it begins: to resume, skip what came before `start + count`.

        Raises:
            What `encode` raises, and what `texts` raises. `timeout` is for each batch. TruncationWarning comes once.
        """
        has_warned = False
        for start, count, outcome in self._stream(texts, batch_size, max_in_flight, in_order, is_tokenized):
            if isinstance(outcome, RowsReply):
                yield self._encoded(start, count, outcome, has_warned)
                has_warned = has_warned or bool(outcome.truncated)
            elif keep_errors:
                yield Encoded(start, count, None, outcome)
            else:
                raise outcome

    def fetch(self, delay: float = 0.0) -> Iterator[Response]:
        """Replies to `encode(.., blocking=False)` as they arrive, until none is pending; not in the order of asking.

        Args:
            delay: seconds to wait first.

        Raises:
            RequestTimeout: no reply within `timeout` since the last one; what is pending can be fetched later.
            ServerError, ConnectFailed, ClientClosed: that became of one request; the others can be fetched after it.
        """
        time.sleep(delay)
        while (response := self._take(self._unfetched)) is not None:
            yield response

    def fetch_all(self, sort: bool = True, concat: bool = False) -> Any:
        """All replies to `encode(.., blocking=False)`; None if nothing is pending.

        Args:
            sort: in the order of asking, else of arrival.
            concat: rows of all requests in one array (or list), else a list with the rows of each request.

        Raises what `fetch` raises; replies that had arrived before the error are lost then.
        """
        if not self._unfetched.ids():
            return None
        responses = list(self.fetch())
        if sort:
            responses.sort(key=lambda response: response.id)
        embeddings = [response.embedding for response in responses]
        if not concat:
            return embeddings
        if self.output_fmt == "list":
            return [row for rows in embeddings for row in rows]
        return np.concatenate(embeddings)

    def encode_async(
        self, batch_generator: Iterable[Any], max_num_batch: int | None = None, delay: float = 0.1, **encode_kwargs: Any
    ) -> Iterator[Response]:
        """Encode batches while they are made: a thread sends them, the caller takes replies as they arrive.

        Args:
            batch_generator: yields what `encode` takes. It is never more than ASYNC_WINDOW batches ahead.
            max_num_batch: stop after so many; None for all.
            delay: seconds to wait before the first reply is taken.
            **encode_kwargs: further arguments of `encode`, the same for each batch.

        Yields:
            Response, whose ids ascend in the order of the batches.

        Raises:
            What `batch_generator` raises, after the replies to the batches before it; and what `fetch` raises.
        """
        arrivals = Arrivals(window=ASYNC_WINDOW, has_producer=True)
        batches = islice(batch_generator, max_num_batch or None)
        is_tokenized = _only_is_tokenized(**encode_kwargs)
        threading.Thread(target=self._produce, args=(arrivals, batches, is_tokenized), daemon=True).start()
        responses = self._consume(arrivals, delay)
        weakref.finalize(responses, arrivals.stop)  # for a generator that nobody starts
        return responses

    def listen(self, timeout: float = -1) -> Iterator[Response]:
        """Replies to others of the same `identity`, from now on; ends when the client is closed.

        One client may encode while several others, on other machines, listen with the identity of the first.

        Args:
            timeout: milliseconds without a reply after which to end; -1 for none.
        """
        return self._hear(self._connected().listen(), timeout / 1000 if timeout >= 0 else None)

    @property
    def server_config(self) -> dict[str, Any]:
        """The server's arguments and versions."""
        return self._ask_json(Command.SHOW_CONFIG)

    @property
    def server_status(self) -> dict[str, Any]:
        """The server's config, and statistics on what it has done."""
        return self._ask_json(Command.SHOW_STATUS)

    def close(self) -> None:
        """Fail what is pending with ClientClosed and close the connection; a second time does nothing."""
        self._connected().close()

    def __enter__(self: _T) -> _T:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _pending_ids(self) -> set[int]:
        return super()._pending_ids() | self._unfetched.ids()

    def _ask_in_time(self, texts: Any, is_tokenized: bool) -> Future[Reply]:
        """The answer is waited for no longer than the client's `timeout`, and the server is told so."""
        return self._ask_rows(texts, is_tokenized, Options.within(self._timeout_s)).future

    def _wait(self, future: Future[Reply]) -> Reply:
        try:
            return future.result(self._timeout_s)  # which takes a third of the time of `concurrent.futures.wait`
        except (TimeoutError, NotInTime):
            if future.cancel():
                raise self._timed_out(self._timeout_s) from None
            return future.result()  # it has come in this moment, or has an error of this kind of its own
        except BaseException:  # its error, or KeyboardInterrupt
            future.cancel()
            raise

    def _ask_json(self, command: Command) -> dict[str, Any]:
        reply = self._wait(self._connected().request_json(command).future)
        return cast(JsonReply, reply).content

    def _encode_with_progress(self, texts: list[Any], is_tokenized: bool) -> RowsReply:
        replies = []
        with progress_bar(len(texts)) as bar:
            for start, count, outcome in self._stream(texts, STREAM_BATCH_SIZE, None, True, is_tokenized):
                if isinstance(outcome, RowFailed) and outcome.index is not None:
                    raise RowFailed(f"from text {start} on, {outcome.message}", start + outcome.index)
                if isinstance(outcome, Exception):
                    raise outcome
                replies.append((start, outcome))
                bar.update(count)
        return joined(replies)

    def _stream(
        self, texts: Iterable[Any], batch_size: int, max_in_flight: int | None, in_order: bool, is_tokenized: bool
    ) -> Generator[tuple[int, int, RowsReply | Exception], None, None]:
        window: Window[Future[Reply]] = Window(self._window(max_in_flight), in_order)
        try:
            for start, batch in batches(texts, batch_size):
                if window.is_full:
                    yield self._take_from(window)
                window.add(self._ask_or_fail(batch, is_tokenized), start, len(batch))
            while window:
                yield self._take_from(window)
        finally:
            for future in window.under_way:
                future.cancel()

    def _ask_or_fail(self, batch: list[Any], is_tokenized: bool) -> Future[Reply]:
        try:
            return self._ask_in_time(batch, is_tokenized)
        except InvalidInput as error:
            failed: Future[Reply] = Future()
            failed.set_exception(error)
            return failed

    def _take_from(self, window: Window[Future[Reply]]) -> tuple[int, int, RowsReply | Exception]:
        self._connected().check_usable()
        done = wait(window.awaited, self._timeout_s, FIRST_COMPLETED).done
        start, count, future = window.take(done or window.awaited)
        if not done and future.cancel():
            return start, count, self._timed_out(self._timeout_s)
        error = future.exception()
        return start, count, error if isinstance(error, Exception) else cast(RowsReply, future.result())

    def _take(self, arrivals: Arrivals) -> Response | None:
        self._connected().check_usable()
        try:
            asked = arrivals.take(self._timeout_s)
        except TimeoutError:
            raise self._timed_out(self._timeout_s) from None
        return None if asked is None else self._response(cast(RowsReply, asked.future.result()))

    def _produce(self, arrivals: Arrivals, batches: Iterator[Any], is_tokenized: bool) -> None:
        try:
            for texts in batches:
                if not arrivals.wait_for_room():
                    break
                arrivals.expect(partial(self._ask_rows, texts, is_tokenized))
        except BaseException as error:
            arrivals.finish(error)
        else:
            arrivals.finish()

    def _consume(self, arrivals: Arrivals, delay: float) -> Iterator[Response]:
        try:
            time.sleep(delay)
            while (response := self._take(arrivals)) is not None:
                yield response
        finally:
            arrivals.stop()

    def _hear(self, listener: Listener, timeout_s: float | None) -> Iterator[Response]:
        self._connected().check_usable()
        while (reply := listener.take(timeout_s)) is not None:
            yield self._response(reply)
            self._connected().check_usable()


def _only_is_tokenized(is_tokenized: bool = False, show_tokens: bool = False) -> bool:
    """`encode_async` sends tokens in every Response, so `show_tokens` changes nothing there."""
    return is_tokenized

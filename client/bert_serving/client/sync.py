"""BertClient: vectors in two lines of Python, from any number of threads."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as NotInTime  # one with TimeoutError from Python 3.11 on
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from bert_serving.client.arrivals import Arrivals
from bert_serving.client.base import BaseClient, Response, without_offsets
from bert_serving.client.checks import check_texts
from bert_serving.client.encoding import Encodable, Encodes
from bert_serving.client.errors import InvalidInput, RowFailed, in_short
from bert_serving.client.options import NO_OPTIONS, Asked, Options
from bert_serving.client.pending import Listener
from bert_serving.client.scores import Hit, Label, classifying, hits_of, labelled, labels_in, ranking
from bert_serving.client.stream import STREAM_BATCH_SIZE, Encoded, Window, batches, joined, progress_bar
from bert_serving.client.wire import Command, JsonReply, Reply, RowsReply

if TYPE_CHECKING:
    from typing_extensions import Unpack  # typing has it from Python 3.11 on

ASYNC_WINDOW = 64
"""Batches that `encode_async` has in flight or waiting for its consumer."""

_T = TypeVar("_T")


class BertClient(Encodes, BaseClient):
    """Blocking client, safe to share between threads; a context manager.

        with BertClient() as bc:
            bc.encode(["First do it", "then do it right", "then do it better"])

    `server_status` and `server_config` ask the server; `status` describes this client.
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

    def _encode(
        self, texts: Any, blocking: bool, is_tokenized: bool, show_tokens: bool, show_progress: bool, options: Options
    ) -> Any:
        if not blocking:
            options = without_offsets(options, "blocking=False")
            self._unfetched.expect(lambda: self._ask_rows(texts, is_tokenized, options))
            return None
        if show_progress:
            checked = check_texts(texts, is_tokenized, is_pair=bool(options.is_pair))
            reply = self._encode_with_progress(checked, is_tokenized, options)
        else:
            reply = cast(RowsReply, self._wait(self._ask_in_time(texts, is_tokenized, options)))
        return self._select(reply, options, show_tokens)

    def encode_stream(
        self,
        texts: Iterable[Any],
        batch_size: int = STREAM_BATCH_SIZE,
        max_in_flight: int | None = None,
        in_order: bool = True,
        is_tokenized: bool = False,
        keep_errors: bool = False,
        **asked: Unpack[Asked],
    ) -> Generator[Encoded, None, None]:
        """Encode any number of texts, with only a few batches in memory at a time.

        Args:
            texts: any iterable of what `encode` takes in a list. It is read as batches are sent.
            batch_size: texts in a batch.
            max_in_flight: batches in progress, or finished and not yet taken; by default 8 for each server.
            in_order: yield batches in the order of the texts; if False, as they arrive.
            is_tokenized: whether each text is a list of tokens.
            keep_errors: yield an error as the `error` of its batch and continue; if False, raise it.
            **asked: as in `encode`, except `offsets`.

        Yields:
            Encoded, with its position in `texts`: to resume later, skip the first `start + count` texts.

        Raises:
            What `encode` and `texts` raise. `timeout` applies to each batch. TruncationWarning is issued once.
        """
        has_warned = False
        options = without_offsets(Options.asked(**asked), "encode_stream")
        for start, count, outcome in self._stream(texts, batch_size, max_in_flight, in_order, is_tokenized, options):
            if isinstance(outcome, RowsReply):
                yield self._encoded(start, count, outcome, options, has_warned)
                has_warned = has_warned or bool(outcome.truncated)
            elif keep_errors:
                yield Encoded(start, count, None, outcome)
            else:
                raise outcome

    @in_short
    def rank(self, query: str, documents: Sequence[str], top_k: int | None = None) -> list[Hit]:
        """Rank documents by how well they answer a query, best first; needs a cross-encoder model.

        Args:
            query: a text.
            documents: texts. A document that is too long is cut at its end, so that the query stays whole if possible.
            top_k: return only this many of the best.

        Raises:
            BadRequest: the server's model has no classification head with a single score.
            What `encode` raises.
        """
        pairs, options = ranking(query, documents, top_k)
        if not pairs:
            return []
        reply = cast(RowsReply, self._wait(self._ask_in_time(pairs, False, options)))
        return hits_of(reply.array, top_k)

    @in_short
    def classify(self, texts: Encodable) -> list[list[Label]]:
        """For each text, the labels of the model's classification head with their scores, best first.

        Args:
            texts: a list of str.

        Raises:
            InvalidInputValue: the server's model has no labels.
            What `encode` raises.
        """
        labels = labels_in(self._config or self.server_config)
        reply = cast(RowsReply, self._wait(self._ask_in_time(texts, False, classifying(labels))))
        self._warn_truncated(reply.truncated, len(reply.array))
        return labelled(reply.array, labels)

    def fetch(self, delay: float = 0.0) -> Iterator[Response]:
        """Yield the replies to `encode(.., blocking=False)` as they arrive, in any order, until none is pending.

        Args:
            delay: seconds to wait first.

        Raises:
            RequestTimeout: no reply within `timeout` since the last one; pending replies can be fetched later.
            ServerError, ConnectFailed, ClientClosed: one request failed; the others can still be fetched.
        """
        time.sleep(delay)
        while (response := self._take(self._unfetched)) is not None:
            yield response

    def fetch_all(self, sort: bool = True, concat: bool = False) -> Any:
        """All replies to `encode(.., blocking=False)`; None if nothing is pending.

        Args:
            sort: in the order of the requests; if False, in order of arrival.
            concat: return one array (or list) with the rows of all requests; if False, a list with one for each.

        Raises what `fetch` raises; replies that arrived before the error are lost.
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
        """Encode batches while they are generated: a thread sends them, and replies are yielded as they arrive.

        Args:
            batch_generator: yields what `encode` takes. It is never more than ASYNC_WINDOW batches ahead.
            max_num_batch: stop after this many batches; None for all.
            delay: seconds to wait before the first reply is taken.
            **encode_kwargs: further arguments of `encode`, the same for each batch.

        Yields:
            Response, with ids that increase in the order of the batches.

        Raises:
            What `batch_generator` raises, after the replies to the batches before it; and what `fetch` raises.
        """
        arrivals = Arrivals(window=ASYNC_WINDOW, has_producer=True)
        batches = islice(batch_generator, max_num_batch or None)
        is_tokenized, options = _asked_of_all(**encode_kwargs)
        threading.Thread(target=self._produce, args=(arrivals, batches, is_tokenized, options), daemon=True).start()
        responses = self._consume(arrivals, delay)
        weakref.finalize(responses, arrivals.stop)  # for a generator that nobody starts
        return responses

    def listen(self, timeout: float = -1) -> Iterator[Response]:
        """Yield the replies to other clients with the same `identity`, until this client is closed.

        One client can encode while others, on other machines, listen with its identity.

        Args:
            timeout: stop after this many milliseconds without a reply; -1: never.
        """
        return self._hear(self._connected().listen(), timeout / 1000 if timeout >= 0 else None)

    @property
    def server_config(self) -> dict[str, Any]:
        """The server's arguments and versions."""
        return self._ask_json(Command.SHOW_CONFIG)

    @property
    def server_status(self) -> dict[str, Any]:
        """The server's config, and statistics about its work."""
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

    def _ask_in_time(self, texts: Any, is_tokenized: bool, options: Options) -> Future[Reply]:
        """Ask with the client's `timeout`, which the server is told, too."""
        return self._ask_rows(texts, is_tokenized, options.in_time(self._timeout_s)).future

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

    @in_short
    def _ask_json(self, command: Command) -> dict[str, Any]:
        reply = self._wait(self._connected().request_json(command).future)
        return cast(JsonReply, reply).content

    def _encode_with_progress(self, texts: list[Any], is_tokenized: bool, options: Options) -> RowsReply:
        replies = []
        with progress_bar(len(texts)) as bar:
            for start, count, outcome in self._stream(texts, STREAM_BATCH_SIZE, None, True, is_tokenized, options):
                if isinstance(outcome, RowFailed) and outcome.index is not None:
                    raise RowFailed(f"in the batch from text {start}: {outcome.message}", start + outcome.index)
                if isinstance(outcome, Exception):
                    raise outcome
                replies.append((start, outcome))
                bar.update(count)
        return joined(replies)

    def _stream(
        self,
        texts: Iterable[Any],
        batch_size: int,
        max_in_flight: int | None,
        in_order: bool,
        is_tokenized: bool,
        options: Options,
    ) -> Generator[tuple[int, int, RowsReply | Exception], None, None]:
        window: Window[Future[Reply]] = Window(self._window(max_in_flight), in_order)
        try:
            for start, batch in batches(texts, batch_size):
                if window.is_full:
                    yield self._take_from(window)
                window.add(self._ask_or_fail(batch, is_tokenized, options), start, len(batch))
            while window:
                yield self._take_from(window)
        finally:
            for future in window.under_way:
                future.cancel()

    def _ask_or_fail(self, batch: list[Any], is_tokenized: bool, options: Options) -> Future[Reply]:
        try:
            return self._ask_in_time(batch, is_tokenized, options)
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
        return None if asked is None else self._response(cast(RowsReply, asked.future.result()), asked.options)

    def _produce(self, arrivals: Arrivals, batches: Iterator[Any], is_tokenized: bool, options: Options) -> None:
        try:
            for texts in batches:
                if not arrivals.wait_for_room():
                    break
                arrivals.expect(partial(self._ask_rows, texts, is_tokenized, options))
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
            yield self._response(reply, NO_OPTIONS)
            self._connected().check_usable()


def _asked_of_all(is_tokenized: bool = False, show_tokens: bool = False, **asked: Any) -> tuple[bool, Options]:
    """`encode_async` has the tokens in every Response, so `show_tokens` has no effect there."""
    return is_tokenized, without_offsets(Options.asked(**asked), "encode_async")

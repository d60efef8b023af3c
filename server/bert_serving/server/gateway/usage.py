"""Who asks over HTTP, by the names of `-http_api_keys`: what each has used, and whether it may go on."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterator
from hashlib import sha256

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from bert_serving.client.errors import quoted
from bert_serving.server.gateway.api_keys import ApiKey, KeysFile
from bert_serving.server.gateway.metric_table import family
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.token_bucket import Bucket

LOOK_INTERVAL_S = 1.0


class Account:
    """Of one name. Its counts change in the gateway's loop alone; any thread may `check`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bucket: Bucket | None = None
        self.texts = 0
        self.tokens = 0

    def set_limit(self, per_minute: int | None, now_s: float) -> None:
        """Tokens a minute from now on; None for no limit."""
        bucket = self._bucket
        if per_minute is None:
            self._bucket = None
        elif bucket is None:
            self._bucket = Bucket.full(per_minute, now_s)
        elif bucket.per_minute != per_minute:
            self._bucket = bucket.with_limit(per_minute, now_s)

    def check(self, now_s: float) -> None:
        """Problem 429 if it has used what it may use."""
        bucket = self._bucket
        if bucket is not None and (wait_s := bucket.wait_s(now_s)):
            text = f"the key of {quoted(self._name)} may use {bucket.per_minute} tokens a minute, and has used them"
            raise Problem(429, f"{text}: come again in {wait_s} s", retry_after_s=wait_s)

    def charge(self, texts: int, tokens: int, now_s: float) -> None:
        """It had an answer to so many texts, which had so many tokens."""
        self.texts += texts
        self.tokens += tokens
        if self._bucket is not None:
            self._bucket = self._bucket.taken(tokens, now_s)


class Accounts(Collector):
    """One for each name that the file has now, and their metrics. `wall_clock` is that of file systems."""

    def __init__(self, file: KeysFile, now_s: float, wall_clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._wall_clock = wall_clock
        self._keys: tuple[ApiKey, ...] = ()
        self._accounts: dict[str, Account] = {}
        self._looked_s = now_s
        file.look(wall_clock(), is_first=True)
        self._follow(now_s)

    def of(self, given: bytes, now_s: float) -> Account | None:
        """Whose key it is; None if it is nobody's. It takes as long whichever key it is."""
        self.refresh(now_s)
        found = None
        digests = [sha256(key).digest() for key in _spellings(given)]
        for key in self._keys:
            for digest in digests:
                if hmac.compare_digest(digest, key.digest):
                    found = key.name
        return None if found is None else self._accounts[found]

    def refresh(self, now_s: float) -> None:
        """Look at the file, at most once a second."""
        if now_s >= self._looked_s + LOOK_INTERVAL_S:
            self._looked_s = now_s
            self._file.look(self._wall_clock())
            self._follow(now_s)

    def _follow(self, now_s: float) -> None:
        if self._file.keys is self._keys:
            return
        self._keys = self._file.keys
        before = self._accounts
        self._accounts = {key.name: before.get(key.name) or Account(key.name) for key in self._keys}
        for key in self._keys:
            self._accounts[key.name].set_limit(key.tokens_per_minute, now_s)

    def collect(self) -> Iterator[Metric]:
        """For Prometheus. Names that are gone from the file are gone here, too."""
        texts, tokens = family("http_key_texts"), family("http_key_tokens")
        for name, account in self._accounts.items():
            texts.add_metric([name], account.texts)
            tokens.add_metric([name], account.tokens)
        yield texts
        yield tokens


def _spellings(given: bytes) -> list[bytes]:
    """A key in UTF-8, whichever of the two ways was meant in which clients write letters beyond ASCII in headers."""
    return [given] if given.isascii() else [given, given.decode("latin-1").encode()]

"""The file of `-http_api_keys`: for each name the SHA-256 of its key, and how many tokens a minute it may use.

    [alice]
    sha256 = "2bd806c9.."
    tokens_per_minute = 100000

The file is read again when it has changed. A key is never in it, and neither keys nor hashes are in what is said of it.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bert_serving.client.errors import quoted
from bert_serving.server.errors import ConfigError
from bert_serving.server.gateway.config_files import content_of, tables_in
from bert_serving.server.transport.key_files import SETTLED_S, FileState

log = logging.getLogger(__name__)

MOST_KEYS = 1_000
"""Each is compared with what a request brings along, and is a label of metrics."""
LONGEST_FILE = 1 << 18
LONGEST_NAME = 60
MOST_TOKENS_PER_MINUTE = 10**12
WHOLE_S = 1.0
"""A file that was written no longer ago may be half there yet: it is looked at twice before it counts."""
OF_NO_KEY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_FIELDS = ("sha256", "tokens_per_minute")
_HASH = re.compile("[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`digest`: the SHA-256 of the key in UTF-8, 32 bytes. `tokens_per_minute` is None for no limit."""

    name: str
    digest: bytes = field(repr=False)
    tokens_per_minute: int | None


def check(path: str) -> None:
    """ConfigError if a server with this file would let nobody in."""
    try:
        keys = read(Path(path))
    except OSError as error:
        raise ConfigError(f"-http_api_keys {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"-http_api_keys {path}: {error}") from None
    if not keys:
        raise ConfigError(f"-http_api_keys {path} names no key, so that nobody could ask: give one a table, as [alice]")


def read(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file. OSError if it cannot be read, ValueError with a sentence that names the line or the name."""
    return parse(content_of(path, LONGEST_FILE))


def parse(content: bytes) -> tuple[ApiKey, ...]:
    """What a file with this content says. ValueError as `read`."""
    if len(content) > LONGEST_FILE:
        raise ValueError(f"it is larger than {LONGEST_FILE} bytes")
    tables = tables_in(content)
    if len(tables) > MOST_KEYS:
        raise ValueError(f"it has {len(tables)} names, and may have {MOST_KEYS}")
    keys = tuple(_key(name, table) for name, table in tables.items())
    first: dict[bytes, str] = {}
    for key in keys:
        if first.setdefault(key.digest, key.name) != key.name:
            raise ValueError(f"{quoted(first[key.digest])} and {quoted(key.name)} have the same key")
    return keys


def _key(name: str, table: Any) -> ApiKey:
    """Of what is wrong the name is told, and never a value: it may be a hash, or a key by mistake."""
    if len(name) > LONGEST_NAME:
        raise ValueError(f"a name of {len(name)} characters, where {LONGEST_NAME} are the most")
    if not name.strip() or not name.isprintable():
        raise ValueError(f"{quoted(name)} is no name that can be read")
    shown = quoted(name)
    if not isinstance(table, dict):
        raise ValueError(f"{shown} must be a table: a line [{name}], and sha256 = .. below it")
    for one in table:
        if one not in _FIELDS:
            raise ValueError(f"{shown} has a field that means nothing, {quoted(one, 20)}: fields are {_named(_FIELDS)}")
    if "sha256" not in table:
        raise ValueError(f"{shown} has no sha256: printf %s KEY | sha256sum prints it")
    digest, limit = table["sha256"], table.get("tokens_per_minute")
    if not isinstance(digest, str) or not _HASH.fullmatch(digest):
        raise ValueError(f"the sha256 of {shown} must be a text of 64 hexadecimal digits")
    if digest.lower() == OF_NO_KEY:
        raise ValueError(f"the sha256 of {shown} is that of an empty key")
    if limit is not None and (type(limit) is not int or not 1 <= limit <= MOST_TOKENS_PER_MINUTE):
        raise ValueError(f"tokens_per_minute of {shown} must be a whole number from 1 to {MOST_TOKENS_PER_MINUTE}")
    return ApiKey(name, bytes.fromhex(digest), limit)


def _named(names: tuple[str, ...]) -> str:
    return " and ".join(names)


class KeysFile:
    """The file while the gateway runs. One that is broken or gone changes nothing, and the log says why."""

    def __init__(self, path: str) -> None:
        self._path = Path(os.path.abspath(path))
        self._read: FileState | None = None
        self._seen: FileState | None = None
        self._fault = ""
        self.keys: tuple[ApiKey, ...] = ()

    def look(self, now_s: float, *, is_first: bool = False) -> None:
        """Read it if it has changed. `now_s` is the time of the wall clock, which file systems go by."""
        try:
            state = FileState.of(str(self._path))
            if state == self._read:
                return
            age_s = now_s - state.changed_s
            is_whole = is_first or age_s > WHOLE_S or state == self._seen
            self._seen = state
            if is_whole:
                self._take(read(self._path))
                self._read = state if age_s > SETTLED_S else None  # else it may change again without a trace
        except OSError as error:
            self._complain(f"it cannot be read ({error.strerror or type(error).__name__})")
        except ValueError as error:
            self._read = state if age_s > SETTLED_S else None
            self._complain(str(error))

    def _take(self, keys: tuple[ApiKey, ...]) -> None:
        if self._fault or keys != self.keys:
            log.info("%d API key(s) may ask (-http_api_keys)", len(keys))
        self.keys, self._fault = keys, ""

    def _complain(self, fault: str) -> None:
        """Once of each fault."""
        if fault != self._fault:
            stays = f"the {len(self.keys)} key(s) of before still count" if self.keys else "no key is known"
            log.error("the file of -http_api_keys cannot be used, so %s: %s", stays, fault)
        self._fault = fault

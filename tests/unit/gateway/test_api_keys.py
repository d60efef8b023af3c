"""The file of API keys: what it may say, and what becomes of keys while it changes."""

from __future__ import annotations

import logging
import os
import subprocess
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pages
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from serving import fake_config

from bert_serving.server import BertServer, ConfigError
from bert_serving.server.gateway import api_keys
from bert_serving.server.gateway.api_keys import ApiKey, KeysFile, parse
from bert_serving.server.gateway.problems import Problem
from bert_serving.server.gateway.usage import Accounts
from bert_serving.server.transport.key_files import SETTLED_S, FileState

PAGE = pages.DOCS / "guide" / "http-server.md"


def hash_of(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def table(name: str, key: str, limit: int | None = None) -> str:
    text = f'[{name}]\nsha256 = "{hash_of(key)}"\n'
    return text if limit is None else f"{text}tokens_per_minute = {limit}\n"


GOOD = table("alice", "sesame", 1000) + table('"team b"', "öffne dich")
WRONG: list[tuple[str, str]] = [
    ('[alice]\nsha256 = "\n', "it is no TOML: .*line 2"),
    (f"{GOOD}[alice]\n", "it is no TOML: .*line"),
    (f"{GOOD}\nx = \xff", "it is no TOML: .*line 7"),
    ("alice = 7", r"'alice' must be a table: a line \[alice\]"),
    (f'alice = "{hash_of("a")}"', "'alice' must be a table"),
    ("[alice]\ntokens_per_minute = 7", "'alice' has no sha256: printf %s KEY | sha256sum prints it"),
    ('[alice]\nsha256 = "abc"', "the sha256 of 'alice' must be a text of 64 hexadecimal digits"),
    (f'[alice]\nsha256 = " {hash_of("a")}"', "must be a text of 64 hexadecimal digits"),
    ("[alice]\nsha256 = 7", "must be a text of 64 hexadecimal digits"),
    (table("alice", ""), "the sha256 of 'alice' is that of an empty key"),
    (table("alice", "a") + 'key = "a"', "'alice' has a field that means nothing, 'key': fields are sha256 and tokens_"),
    (table("alice", "a", 0), "tokens_per_minute of 'alice' must be a whole number from 1"),
    (table("alice", "a", 10**13), "tokens_per_minute of 'alice' must be a whole number"),
    (table("alice", "a") + "tokens_per_minute = 1.5", "must be a whole number"),
    (table("alice", "a") + "tokens_per_minute = true", "must be a whole number"),
    (table("alice", "a") + 'tokens_per_minute = "7"', "must be a whole number"),
    (table("alice", "a") + "tokens_per_minute = " + "9" * 5000, "it is no TOML"),
    (table("alice", "a") + table("bob", "a"), "'alice' and 'bob' have the same key"),
    (table("x" * 61, "a"), "a name of 61 characters, where 60 are the most"),
    (table('""', "a"), "'' is no name that can be read"),
    (table('"a\\nb"', "a"), "is no name that can be read"),
    (table("alice.work", "a"), "'alice' has a field that means nothing, 'work'"),
    ("a = " + "[" * 5000, "it is no"),
    ("#" * (1 << 18) + "\n", "it is larger than 262144 bytes"),
    ("".join(f"[k{number}]\n" for number in range(1001)), "it has 1001 names, and may have 1000"),
]


def test_names_hashes_and_limits() -> None:
    expected = [("alice", "sesame", 1000), ("team b", "öffne dich", None)]
    assert parse(GOOD.encode()) == tuple(ApiKey(name, bytes.fromhex(hash_of(key)), n) for name, key, n in expected)
    assert parse(b"\xef\xbb\xbf" + GOOD.upper().replace("SHA256", "sha256").replace("TOKENS_PER_MINUTE",
                 "tokens_per_minute").encode())[0].digest == parse(GOOD.encode())[0].digest  # fmt: skip


@pytest.mark.parametrize(("text", "says"), WRONG, ids=[says for _, says in WRONG])
def test_what_is_wrong_is_named_and_no_hash_is_shown(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=f"-http_api_keys {path}: .*{says}") as caught:
        BertServer(fake_config(http_port=1, http_api_keys=str(path)))
    for key in ("a", "sesame", ""):
        assert hash_of(key) not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "no utf-8").write_bytes(b"[a]\n\n# \xff")
    (tmp_path / "empty").touch()
    for name, says in {
        "missing": "cannot be read: No such file",
        ".": "cannot be read: it is no file",
        "pipe": "cannot be read: it is no file",
        "no utf-8": "it is not UTF-8 at line 3",
        "empty": "names no key, so that nobody could ask",
    }.items():
        with pytest.raises(ConfigError, match=says):
            BertServer(fake_config(http_port=1, http_api_keys=str(tmp_path / name)))


def test_the_command_of_the_docs_makes_a_key_and_its_hash() -> None:
    (block,) = (block for block in pages.blocks("bash", [PAGE]) if "sha256sum" in block.text)
    made = subprocess.run(["bash", "-c", block.text], capture_output=True, text=True, check=True)
    key, digest = made.stdout.splitlines()
    assert len(key) > 40
    assert digest.split()[0] == hash_of(key)


def test_a_key_is_not_shown_by_its_repr() -> None:
    keys = parse(GOOD.encode())
    assert repr(keys[0].digest) not in repr(keys)


@given(st.binary())
@example(GOOD.encode())
def test_anything_is_either_keys_or_a_sentence(content: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(parse(content), tuple)


# -- while the file changes -------------------------------------------------------------------------------------------

OLD_S, LATER_S = 1_000_000.0, 2_000_000.0


class Clock:
    """Of the wall."""

    def __init__(self) -> None:
        self.now_s = LATER_S

    def __call__(self) -> float:
        return self.now_s


def written(path: Path, text: str) -> None:
    """As an editor does."""
    new = path.with_suffix(".new")
    new.write_text(text, "utf-8")
    new.rename(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written(tmp_path / "keys.toml", GOOD)
    return tmp_path / "keys.toml"


def names(keys: KeysFile) -> list[str]:
    return [key.name for key in keys.keys]


def now_of(path: Path, after_s: float) -> float:
    return path.stat().st_ctime + after_s


@pytest.mark.usefixtures("logs_are_seen")
def test_a_new_file_counts_when_it_was_not_written_just_now(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = KeysFile(str(path))
    keys.look(now_of(path, 0), is_first=True)
    assert names(keys) == ["alice", "team b"]
    written(path, table("alice", "other"))
    keys.look(now_of(path, 0.5))
    assert names(keys) == ["alice", "team b"], "it may be half there"
    keys.look(now_of(path, 1.1))
    assert names(keys) == ["alice"]
    assert hash_of("other") not in caplog.text
    assert hash_of("other") not in repr(keys.keys)


def test_a_file_of_tomorrow_counts_at_the_second_look(path: Path) -> None:
    keys = KeysFile(str(path))
    keys.look(now_of(path, 10), is_first=True)
    written(path, table("bob", "b"))
    keys.look(now_of(path, -9000))
    assert names(keys) == ["alice", "team b"]
    keys.look(now_of(path, -8999))
    assert names(keys) == ["bob"]


def test_a_change_that_leaves_no_trace_is_seen_while_it_may_have_been_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system whose clock stands still shows the same times for two contents of the same length."""
    keys, state = KeysFile(str(path)), FileState.of(str(path))
    monkeypatch.setattr(FileState, "of", lambda _: state)
    keys.look(state.changed_s + 2, is_first=True)
    path.write_text(path.read_text("utf-8").replace("alice", "carol"), "utf-8")
    keys.look(state.changed_s + SETTLED_S + 1)
    assert names(keys) == ["carol", "team b"]
    path.write_text(path.read_text("utf-8").replace("carol", "david"), "utf-8")  # of this there would be a trace
    keys.look(state.changed_s + SETTLED_S + 2)
    assert names(keys) == ["carol", "team b"]


@pytest.mark.usefixtures("logs_are_seen")
@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("[alice", "it is no TOML: "),
        ("alice = 1", "'alice' must be a table"),
        ("gone", "it cannot be read (No such file or directory)"),
        ("a folder", "it cannot be read (it is no file)"),
    ],
)
def test_a_broken_file_leaves_the_keys_as_they_were_and_says_why(
    broken: str, says: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = KeysFile(str(path))
    keys.look(now_of(path, 10), is_first=True)
    caplog.clear()
    if broken in ("gone", "a folder"):
        path.unlink()
        if broken == "a folder":
            path.mkdir()
        now_s = LATER_S * 1e4
    else:
        written(path, broken)
        now_s = now_of(path, 10)
    caplog.set_level(logging.INFO)
    for _ in range(3):
        keys.look(now_s)
    assert names(keys) == ["alice", "team b"]
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("the file of -http_api_keys cannot be used, so the 2 key(s) of before still count: it ") or (
        "'alice' must be a table" in told
    )
    caplog.clear()
    if broken == "a folder":
        path.rmdir()
    written(path, GOOD)
    keys.look(now_of(path, 20))
    assert [record.getMessage() for record in caplog.records] == ["2 API key(s) may ask (-http_api_keys)"]


def test_no_name_in_the_file_is_nobody(path: Path) -> None:
    keys = KeysFile(str(path))
    keys.look(now_of(path, 10), is_first=True)
    written(path, "# all keys are revoked\n")
    keys.look(now_of(path, 10))
    assert names(keys) == []


# -- accounts ---------------------------------------------------------------------------------------------------------


def accounts_of(path: Path) -> tuple[Accounts, Clock]:
    clock = Clock()
    clock.now_s = now_of(path, 100)
    return Accounts(KeysFile(str(path)), 0.0, clock), clock


def test_a_key_is_known_in_both_spellings_and_nothing_else_is(path: Path) -> None:
    accounts, _ = accounts_of(path)
    alice, team = accounts.of(b"sesame", 0.0), accounts.of("öffne dich".encode(), 0.0)
    assert alice is not None
    assert team is not None
    assert alice is not team
    assert accounts.of("öffne dich".encode("latin-1"), 0.0) is team
    for wrong in (b"", b"Sesame", b"sesame\n", hash_of("sesame").encode(), b"\xff", b"alice"):
        assert accounts.of(wrong, 0.0) is None


def test_who_has_used_its_tokens_is_told_when_to_come_again(path: Path) -> None:
    accounts, _ = accounts_of(path)
    alice, team = accounts.of(b"sesame", 0.0), accounts.of("öffne dich".encode(), 0.0)
    assert alice is not None
    assert team is not None
    alice.charge(2, 1500, 0.0)
    with pytest.raises(Problem, match=r"the key of 'alice' may use 1000 tokens a minute.*in 31 s") as caught:
        alice.check(0.0)
    assert (caught.value.status, caught.value.retry_after_s) == (429, 31)
    alice.check(31.0)
    team.charge(1, 10**9, 0.0)
    team.check(0.0)
    counted = {(metric.name, one.labels["key"]): one.value for metric in accounts.collect() for one in metric.samples}
    assert counted["bert_serving_http_key_texts", "alice"] == 2
    assert counted["bert_serving_http_key_tokens", "team b"] == 10**9


def test_a_changed_file_changes_limits_and_names_and_forgives_nothing(path: Path) -> None:
    accounts, clock = accounts_of(path)
    alice = accounts.of(b"sesame", 0.0)
    assert alice is not None
    alice.charge(1, 2000, 0.0)
    written(path, table("alice", "new key", 6000) + table("bob", "b"))
    clock.now_s = now_of(path, 100)
    assert accounts.of(b"new key", 0.5) is None, "looked at less than a second ago"
    assert accounts.of(b"new key", 1.0) is alice
    assert accounts.of(b"sesame", 1.0) is None
    with pytest.raises(Problem, match=r"may use 6000 tokens a minute.*in 10 s"):
        alice.check(1.0)
    assert {one.labels["key"] for metric in accounts.collect() for one in metric.samples} == {"alice", "bob"}


def test_a_gateway_that_begins_with_a_broken_file_lets_nobody_in_until_it_is_mended(path: Path) -> None:
    written(path, "[alice")
    accounts, clock = accounts_of(path)
    assert accounts.of(b"sesame", 0.0) is None
    written(path, GOOD)
    clock.now_s = now_of(path, 100)
    assert accounts.of(b"sesame", 1.0) is not None


def test_as_many_keys_as_may_be_are_read_and_compared_soon(tmp_path: Path) -> None:
    path = tmp_path / "many.toml"
    path.write_text("".join(table(f"name-{number}", str(number), 7) for number in range(api_keys.MOST_KEYS)))
    accounts, _ = accounts_of(path)
    assert accounts.of(b"999", 0.0) is not None


def test_the_example_of_the_docs_is_such_a_file() -> None:
    (block,) = pages.blocks("toml", [PAGE])
    assert [(key.name, key.tokens_per_minute) for key in parse(block.text.encode())] == [
        ("alice", 100_000),
        ("team b", None),
    ]

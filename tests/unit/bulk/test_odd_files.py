"""Files as people have them: each gives the texts that a person would expect, or is refused with the cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from odd_files import GOOD, LINES, PLAIN, REFUSED

from bert_serving.server.bulk.errors import BulkError
from bert_serving.server.bulk.formats import Reading
from bert_serving.server.bulk.locations import LocalPath
from bert_serving.server.bulk.records import open_source


def read(tmp_path: Path, name: str, content: bytes, how: dict[str, Any]) -> list[str]:
    """All texts. BulkError also for a text that is none, as with `-on_error stop`."""
    path = tmp_path / name
    path.write_bytes(content)
    source = open_source(LocalPath(path), Reading(**how))
    records = list(source.read())
    assert source.count() == len(records)
    for record in records:
        if record.trouble is not None:
            raise BulkError(f"line {record.line}: {record.trouble}")
    return [record.text for record in records]


@pytest.mark.parametrize(("name", "content", "how", "texts"), GOOD, ids=[row[0] for row in GOOD])
def test_the_texts_that_a_person_expects(
    tmp_path: Path, name: str, content: bytes, how: dict[str, Any], texts: list[str]
) -> None:
    assert read(tmp_path, name, content, how) == texts


@pytest.mark.parametrize(("name", "content", "how", "cure"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_not_sure_is_refused_with_the_cure(
    tmp_path: Path, name: str, content: bytes, how: dict[str, Any], cure: str
) -> None:
    with pytest.raises(BulkError, match=cure):
        read(tmp_path, name, content, how)


def test_what_was_found_out_is_noted(tmp_path: Path) -> None:
    for name, content, note in [
        ("lines.txt", LINES, "read as jsonl because of how it begins; -input_format text"),
        ("x.tsv", b'id\ttext\n1\t"a ""b"""\n', "line 2 has quotes as spreadsheets write them"),
        ("x.txt", PLAIN, ""),
    ]:
        (tmp_path / name).write_bytes(content)
        found = open_source(LocalPath(tmp_path / name), Reading()).reading.note
        assert note in found if note else not found

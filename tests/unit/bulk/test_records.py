"""Input files: every text with its line, and what is wrong with the others. No server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from bert_serving.server.bulk.errors import BulkError
from bert_serving.server.bulk.formats import Reading
from bert_serving.server.bulk.locations import location_of
from bert_serving.server.bulk.records import Record, open_source


def read(path: Path, content: bytes, column: str = "text", **how: Any) -> list[Record]:
    path.write_bytes(content)
    source = open_source(location_of(str(path)), Reading(column, **how))
    records = list(source.read())
    assert source.count() == len(records)
    return records


def test_text(tmp_path: Path) -> None:
    found = read(tmp_path / "in.txt", "\ufeffone\r\n\n  \nzwölf\u2028x\n".encode() + b"\xff\xfe\nlast")
    assert [(record.line, record.text) for record in found if record.trouble is None] == [
        (1, "one"), (4, "zwölf\u2028x"), (6, "last")
    ]  # fmt: skip
    assert {record.line: record.trouble for record in found if record.trouble} == {
        2: "the text is blank", 3: "the text is blank",
        5: "it is not UTF-8: name the file's encoding, such as -encoding cp1252",
    }  # fmt: skip


def test_json_lines(tmp_path: Path) -> None:
    lines = [b'{"text": "one", "id": 1}', b"{broken", b"", b"[1]", b'{"id": 2}', b'{"text": 5}', b'{"text": "\xff"}']
    found = read(tmp_path / "in.jsonl", b"\n".join([*lines, b"[" * 100_000, json.dumps({"text": "ü"}).encode()]))
    troubles = [record.trouble for record in found]
    assert troubles[0] is troubles[-1] is None
    for trouble, reason in zip(
        troubles[1:-1],
        ["not JSON", "blank", "not a JSON object", "no 'text'", "int, not", "not UTF-8", "not JSON"],
        strict=True,
    ):
        assert reason in str(trouble)
    assert (found[-1].line, found[-1].text) == (9, "ü")


@pytest.mark.parametrize(("name", "comma"), [("in.csv", ","), ("in.tsv", "\t")])
def test_tables(tmp_path: Path, name: str, comma: str) -> None:
    rows = ["id,body", '1,"one\ntwo, ""three"""', "2", "", "3, ", "4,last"]
    found = read(tmp_path / name, "\n".join(rows).replace(",", comma).encode(), column="body", quotes="yes")
    assert [(record.line, record.trouble) for record in found] == [
        (2, None), (4, "it has no 'body'"), (5, "the line is blank"), (6, "the text is blank"), (7, None)
    ]  # fmt: skip
    assert found[0].text == f'one\ntwo{comma} "three"'
    with pytest.raises(
        BulkError,
        match=r"no column 'text', but 'id', 'body': name the column of the texts with "
        "-column",
    ):
        list(open_source(location_of(str(tmp_path / name)), Reading("text")).read())


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    texts = [f"text {number}" for number in range(100_000)]
    texts[70_000] = " "
    column = pyarrow.array([*texts, None])
    pyarrow.parquet.write_table(pyarrow.table({"text": column, "id": range(100_001)}), path)
    found = list(open_source(location_of(str(path)), Reading("text")).read())
    assert len(found) == 100_001
    assert [(record.line, record.trouble) for record in found if record.trouble] == [
        (70_001, "the text is blank"), (100_001, "it has no 'text'")
    ]  # fmt: skip
    assert found[69_999] == Record(70_000, "text 69999")
    assert (
        next(open_source(location_of(str(path)), Reading("id")).read()).trouble == "its 'id' is of type int, not a text"
    )
    with pytest.raises(BulkError, match="no column 'body'"):
        list(open_source(location_of(str(path)), Reading("body")).read())
    path.write_bytes(b"no parquet")
    with pytest.raises(BulkError, match="cannot be read as Parquet"):
        list(open_source(location_of(str(path)), Reading("text")).read())


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BulkError, match="does not exist"):
        open_source(location_of(str(tmp_path / "nothing.txt")), Reading("text"))
    with pytest.raises(BulkError, match="is not a file"):
        open_source(location_of(str(tmp_path)), Reading("text"))
    assert read(tmp_path / "empty.txt", b"") == []

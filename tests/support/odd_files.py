"""Files as people have them, of which a person knows what texts are in them, or why nobody does."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from typing import Any

import pyarrow
import pyarrow.parquet

TEXTS = ["one", "zwölf, and more", 'he said "no"']
PLAIN = "".join(f"{text}\n" for text in TEXTS).encode()
OBJECTS: list[dict[str, Any]] = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]
LINES = b"".join(json.dumps(one).encode() + b"\n" for one in OBJECTS)
UNFINISHED = b'id\ttext\n1\tone\n2\t"Starts with a quote and never ends it\n3\tthree\n4\t"Quoted."\n5\tfive\n'
QUOTED = b'"id"\t"text"\n"1"\t"one"\n"2"\t"two ""twice"""\n'


def zipped(*members: tuple[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, inside in members:
            archive.writestr(name, inside)
    return content.getvalue()


def parquet() -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table({"text": TEXTS}), sink)
    return bytes(sink.getvalue())


def zstd(content: bytes) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as out:
        out.write(content)
    return bytes(sink.getvalue())


GOOD: list[tuple[str, bytes, dict[str, Any], list[str]]] = [
    ("x.txt", PLAIN, {}, TEXTS),
    ("x.TXT", PLAIN, {}, TEXTS),
    ("x", PLAIN, {}, TEXTS),
    ("x.md", b"# one\n[two](three)\n{four\n", {}, ["# one", "[two](three)", "{four"]),
    ("brackets.txt", b"[CLS] one\n[1] two\n", {}, ["[CLS] one", "[1] two"]),
    ("quoted brackets.txt", b'["one"] he said\n["two"]\n', {}, ['["one"] he said', '["two"]']),
    ("curly.txt", b"{one} two\n{}x\n", {}, ["{one} two", "{}x"]),
    ("crlf.txt", b"one\r\ntwo\r\n", {}, ["one", "two"]),
    ("mac.txt", b"one\rtwo\rthree", {}, ["one", "two", "three"]),
    ("bom.txt", b"\xef\xbb\xbfone\ntwo\n", {}, ["one", "two"]),
    ("utf-16.txt", "one\nzwölf\n".encode("utf-16"), {}, ["one", "zwölf"]),
    ("utf-16-be.txt", b"\xfe\xff" + "one\nzwölf\n".encode("utf-16-be"), {}, ["one", "zwölf"]),
    ("utf-32.csv", "id,text\n1,zwölf\n".encode("utf-32"), {}, ["zwölf"]),
    ("utf-16-le without a mark.txt", "one\ntwo\n".encode("utf-16-le"), {"encoding": "utf-16-le"}, ["one", "two"]),
    ("latin-1.txt", "zwölf\n".encode("latin-1"), {"encoding": "latin-1"}, ["zwölf"]),
    ("cp1252.csv", "text;n\nder \u20ac;1\n".encode("cp1252"), {"encoding": "cp1252"}, ["der \u20ac"]),
    ("array.json", json.dumps(OBJECTS).encode(), {}, TEXTS),
    ("array.json", json.dumps(OBJECTS, indent=2).encode(), {}, TEXTS),
    ("strings.json", json.dumps(TEXTS).encode(), {}, TEXTS),
    ("array.jsonl", json.dumps(TEXTS).encode(), {}, TEXTS),
    ("array.txt", json.dumps(OBJECTS).encode(), {}, TEXTS),
    ("empty array.json", b" [ ]\n", {}, []),
    ("large array.json", json.dumps(TEXTS * 20_000, indent=1).encode(), {}, TEXTS * 20_000),
    ("large element.json", json.dumps(["x" * 300_000, "y"]).encode(), {}, ["x" * 300_000, "y"]),
    ("lines.json", LINES, {}, TEXTS),
    ("lines.jsonlines", LINES, {}, TEXTS),
    ("lines.ndjson", LINES, {}, TEXTS),
    ("lines.txt", LINES, {}, TEXTS),
    ("lines", LINES, {}, TEXTS),
    ("lines of strings.jsonl", b'"one"\n"two"\n', {}, ["one", "two"]),
    ("lines.txt", b'{"a": 1}\n', {"format": "text"}, ['{"a": 1}']),
    ("other field.json", b'[{"body": "one"}]', {"column": "body"}, ["one"]),
    ("semicolons.csv", b"id;text\n1;one, two\n2;three\n", {}, ["one, two", "three"]),
    ("pipes.csv", b"id|text\n1|one, two\n", {}, ["one, two"]),
    ("tabs.csv", b"id\ttext\n1\tone, two\n", {}, ["one, two"]),
    ("hash.csv", b"id#text\n1#one, two\n", {"delimiter": "#"}, ["one, two"]),
    ("UPPER.CSV", b'id,text\n1,"one, two"\n', {}, ["one, two"]),
    ("one column.csv", b'text\none, two\n"three, four"\nfive; six\n', {}, ["one, two", "three, four", "five; six"]),
    ("cells of several lines.csv", b'id,text\n1,"one\ntwo"\n2,three\n', {}, ["one\ntwo", "three"]),
    ("corpus.tsv", UNFINISHED, {}, ["one", '"Starts with a quote and never ends it', "three", '"Quoted."', "five"]),
    ("corpus.tab", UNFINISHED, {}, ["one", '"Starts with a quote and never ends it', "three", '"Quoted."', "five"]),
    ("spreadsheet.tsv", QUOTED, {}, ["one", 'two "twice"']),
    ("spreadsheet.tsv", b'id\ttext\n1\t"a ""b"""\n', {"quotes": "yes"}, ['a "b"']),
    ("quotes in texts.csv", b'id,text\n1,"no\n2,"yes\n', {"quotes": "no"}, ['"no', '"yes']),
    ("x.parquet", parquet(), {}, TEXTS),
    ("x.pq", parquet(), {}, TEXTS),
    ("parquet.txt", parquet(), {}, TEXTS),
    ("x.txt.gz", gzip.compress(PLAIN), {}, TEXTS),
    ("two streams.txt.gz", gzip.compress(b"one\n") + gzip.compress(b"two\n"), {}, ["one", "two"]),
    ("x.jsonl.gz", gzip.compress(LINES), {}, TEXTS),
    ("gzip without an ending.csv", gzip.compress(b"id,text\n1,one\n"), {}, ["one"]),
    ("x.txt.bz2", bz2.compress(PLAIN), {}, TEXTS),
    ("x.json.xz", lzma.compress(json.dumps(OBJECTS).encode()), {}, TEXTS),
    ("x.csv.zst", zstd(b"id,text\n1,one\n"), {}, ["one"]),
    ("x.tsv.zip", zipped(("x.tsv", UNFINISHED)), {}, ["one", '"Starts with a quote and never ends it', "three",
        '"Quoted."', "five"]),
    ("mac.txt.zip", zipped(("x.txt", PLAIN), ("__MACOSX/._x.txt", b"\0")), {}, TEXTS),
    ("utf-16.txt.gz", gzip.compress("one\ntwo\n".encode("utf-16")), {}, ["one", "two"]),
]  # fmt: skip
"""Name, content, options of `Reading`, and the texts."""

REFUSED: list[tuple[str, bytes, dict[str, Any], str]] = [
    ("latin-1.txt", "zwölf\n".encode("latin-1"), {}, "not UTF-8: name the file's encoding, such as -encoding cp1252"),
    ("utf-16 without a mark.txt", "one\ntwo\n".encode("utf-16-le"), {}, "-encoding utf-16-le"),
    ("utf-16 without a mark.txt", "one\ntwo\n".encode("utf-16-be"), {}, "-encoding utf-16-be"),
    ("wrong.txt", b"\xff\xff", {"encoding": "ascii"}, "it is not ascii"),
    ("no column.csv", b"id,body\n1,one\n", {}, "has no column 'text', but 'id', 'body'"),
    ("no column.jsonl", b'{"body": "one"}\n', {}, "it has no 'text'"),
    ("no column.txt", b'{"body": "one"}\n', {}, "looks like JSON lines.*'body' but no 'text'.*-column"),
    ("object.json", b'{"data": [{"text": "one"}],\n "n": 1}', {}, "but a list, or one object per line"),
    ("words.json", b"one\ntwo\n", {}, "not a JSON list or object"),
    ("cut.json", b'[{"text": "one"}, {"text": "tw', {}, "element 2: "),
    ("two lists.json", b'["one"]\n["two"]\n', {}, "after its end comes"),
    ("numbers.json", b'["one", 2]', {}, "not a JSON object but of type int"),
    ("swallowed.csv", b'id,text\n1,"one\n2,two\n3,three\n4,four"\n', {}, "look like rows of their own.*-quotes no"),
    ("never ends.csv", b'id,text\n1,"one\n2,two\n', {}, "-quotes no"),
    ("quotes inside.csv", b'id,text\n1,"one" and more\n', {}, "-quotes no"),
    ("blank before quotes.csv", b'id,text\n1, "one, two"\n', {}, "3 cells, but the first line of the file has 2"),
    ("too many cells.tsv", b"id\ttext\n1\tone\ttwo\n", {}, "3 cells"),
    ("x.xlsx", zipped(("xl/styles.xml", b"<a/>"), ("xl/a.xml", b"<a/>")), {}, "spreadsheet.*save it as CSV"),
    ("x.ods", zipped(("mimetype", b"a"), ("content.xml", b"<a/>")), {}, "spreadsheet.*save it as CSV"),
    ("x.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), {}, "spreadsheet.*save it as CSV"),
    ("spreadsheet.csv", zipped(("xl/workbook.xml", b"<a/>")), {}, "spreadsheet.*save it as CSV"),
    ("two.zip", zipped(("a.txt", PLAIN), ("b.txt", PLAIN)), {}, r"2 files in it \(a.txt, b.txt\): unpack it"),
    ("none.zip", zipped(), {}, "none"),
    ("cut.txt.gz", gzip.compress(PLAIN * 1000)[:-20], {}, "truncated or damaged"),
    ("cut.txt.xz", lzma.compress(PLAIN * 1000)[:-20], {}, "truncated or damaged"),
    ("cut.txt.bz2", bz2.compress(PLAIN * 1000)[:-20], {}, "truncated or damaged"),
    ("cut.txt.zst", zstd(PLAIN * 1000)[:-20], {}, "truncated or damaged"),
    ("broken.txt.gz", gzip.compress(PLAIN)[:12] + b"xxxxxxxxxxxxxx", {}, "truncated or damaged"),
    ("no.parquet", b"one\n", {}, "cannot be read as Parquet"),
    ("odd.txt", "one\n".encode("utf-16")[:-1], {}, "broken utf-16"),
    ("blank.txt", b"one\n\ntwo\n", {}, "line 2: the text is blank"),
    ("nothing to see.txt", "one\n\u200b\u2060\n".encode(), {}, "line 2: the text is blank"),
]  # fmt: skip
"""Name, content, options of `Reading`, and a pattern of what is said."""

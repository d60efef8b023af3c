"""Folders, patterns and URLs: which files are encoded, and where their vectors go. No server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from pyarrow.fs import FileSystem, LocalFileSystem, SubTreeFileSystem

from bert_serving.server.bulk.errors import BulkError
from bert_serving.server.bulk.formats import Reading
from bert_serving.server.bulk.locations import LocalPath, Location, StorePath, location_of
from bert_serving.server.bulk.records import open_source
from bert_serving.server.bulk.tasks import Task, Wanted, tasks_of


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A folder of files, and one in it."""
    folder = tmp_path / "texts"
    (folder / "more").mkdir(parents=True)
    for name in ("b.txt", "a.jsonl", "_SUCCESS", ".hidden", "more/c.txt"):
        (folder / name).write_text("")
    return folder


def tasks(given: Any, output: Any, **wanted: Any) -> list[Task]:
    values: dict[str, Any] = {"reading": Reading(), "output_format": None, "spools": Path("spools"), **wanted}
    return tasks_of(Wanted(str(given), str(output), **values))


def names(found: list[Task], root: Path) -> list[tuple[str, str]]:
    def short(place: Location) -> str:
        return place.name.replace(str(root), ".")

    return [(short(task.source.location), short(task.output)) for task in found]


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_folder(texts: Path, tmp_path: Path, scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = tasks(f"{scheme}{texts}/", f"{scheme}{tmp_path}/out/", output_format="jsonl")
    assert names(found, tmp_path) == [
        (f"{scheme}./texts/a.jsonl", f"{scheme}./out/a.jsonl"),
        (f"{scheme}./texts/b.txt", f"{scheme}./out/b.jsonl"),
    ]
    assert {task.kind for task in found} == {"jsonl"}
    assert "skipped, because their names begin with . or _: .hidden, _SUCCESS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("scheme", "pattern", "expected"),
    [
        ("", "texts/*.txt", ["b"]),
        ("", "*/*/*.txt", ["c"]),
        ("", "texts/**/*.txt", ["b", "c"]),
        ("", "texts/[ab].*", ["a", "b"]),
        ("", "texts/?.txt", ["b"]),
        ("file://", "texts/*.txt", ["b"]),
        ("file://", "*/*/*.txt", ["c"]),
        ("file://", "*/b*", ["b"]),
    ],
)
def test_a_pattern(texts: Path, tmp_path: Path, scheme: str, pattern: str, expected: list[str]) -> None:
    found = tasks(f"{scheme}{tmp_path}/{pattern}", tmp_path / "out")
    assert [task.output.last for task in found] == [f"{name}.npy" for name in expected]


def test_a_file_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "a[1].txt").write_text("")
    (task,) = tasks(tmp_path / "a[1].txt", tmp_path / "out.npz")
    assert (task.kind, task.part) == ("npz", tmp_path / "out.npz.part")


def test_the_spool_of_a_url_has_a_name_of_its_own(texts: Path, tmp_path: Path) -> None:
    parts = [tasks(texts / "b.txt", f"file://{tmp_path}/{name}/b.npy")[0].part for name in ("one", "two")]
    assert parts[0] != parts[1]
    assert {part.parent for part in parts} == {Path("spools")}


@pytest.mark.parametrize(
    ("given", "output", "reason"),
    [
        ("texts/nothing.txt", "out.npy", "texts/nothing.txt does not exist"),
        ("texts/*.csv", "out", "texts/*.csv: there is no file to encode"),
        ("texts/more/empty", "out", "texts/more/empty: there is no file to encode"),
        ("texts", "texts/b.txt", "texts/b.txt is a file, but texts is several files: name a folder"),
        ("texts", "texts", "texts/a.jsonl is in texts: name another folder for the vectors"),
        ("texts/*/*.txt", "texts/more", "texts/more/c.txt is in texts/more: name another folder"),
        ("twice/*", "out", "twice/a.csv and twice/a.txt would both become a.npy: rename one of them"),
        ("texts/b.txt", "texts/more", "texts/more: give it a name that ends in .npy"),
        ("texts/b.txt", "folder.npy", "folder.npy is a folder: name a file in it"),
        ("texts/b.txt", "out.xyz", "out.xyz: give it a name that ends in .npy"),
        ("nowhere://bucket/a.txt", "out.npy", "nowhere://bucket/a.txt cannot be opened: Unrecognized filesystem type"),
    ],
)
def test_what_cannot_be(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, output: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("texts/more/empty", "twice", "folder.npy"):
        Path(name).mkdir()
    for name in ("a.txt", "a.csv"):
        (Path("twice") / name).write_text("text\n")
    with pytest.raises(BulkError) as caught:
        tasks(given, output)
    assert str(caught.value).startswith(reason)


def test_a_key_in_a_url_is_not_shown() -> None:
    place = location_of("s3://key:secret@bucket/texts/*.txt?region=us-east-1&scheme=http")
    assert place.name == "s3://bucket/texts/*.txt"
    assert place.parent().name == "s3://bucket/texts"


@pytest.mark.parametrize("kind", ["path", "url", "subtree"])
def test_a_place_gives_what_it_received(tmp_path: Path, kind: str) -> None:
    folder = {
        "path": LocalPath(tmp_path),
        "url": location_of(f"file://{tmp_path}"),
        "subtree": StorePath(SubTreeFileSystem(str(tmp_path), LocalFileSystem()), "", "mem:"),
    }[kind]
    deep = folder.child("a b").child("c")
    deep.make_folder()
    place = deep.child("in.txt")
    assert not place.exists()
    for content in ("eins\nzwölf\n", "zwei\n"):
        (tmp_path / "beside").write_text(content, encoding="utf-8")
        place.receive(tmp_path / "beside")
        assert [record.text for record in open_source(place, Reading()).read()] == content.split()
        assert place.size() == len(content.encode())
    assert [one.last for one in place.parent().files()] == ["in.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a b"]
    pyarrow.parquet.write_table(pyarrow.table({"text": ["eins"]}), tmp_path / "a b" / "table.parquet")
    table = folder.child("a b").child("table.parquet")
    assert [record.text for record in open_source(table, Reading()).read()] == ["eins"]
    place.delete()
    place.delete()
    assert not place.exists()


def test_nobody_sees_half_a_file(tmp_path: Path) -> None:
    store = FileSystem.from_uri(f"file://{tmp_path}")[0]
    place = StorePath(_Watched(store, tmp_path / "out.npy"), str(tmp_path / "out.npy"), "out.npy")
    (tmp_path / "beside").write_bytes(b"x" * 100)
    with pytest.raises(OSError, match="full"):
        place.receive(tmp_path / "beside")
    assert [path.name for path in tmp_path.iterdir()] == ["beside"]


class _Watched:
    """A file system that is full as soon as something is written."""

    type_name = "local"

    def __init__(self, real: Any, path: Path) -> None:
        self._real = real
        self._path = path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def open_output_stream(self, path: str) -> Any:
        watched = self._path

        class Stream:
            def __enter__(self) -> Stream:
                Path(path).write_bytes(b"half")
                return self

            def write(self, content: bytes) -> None:
                assert not watched.exists()
                raise OSError("it is full")

            def __exit__(self, *unused: object) -> None: ...

        return Stream()

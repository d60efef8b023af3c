"""The job: for one file after the other, vectors go from the encoder into its spool, and then into its output."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from bert_serving.client.stream import progress_bar
from bert_serving.server.bulk.encoding import Block, Encoder, Rest
from bert_serving.server.bulk.errors import BulkError
from bert_serving.server.bulk.outputs import write_output
from bert_serving.server.bulk.records import Source
from bert_serving.server.bulk.spool import Kind, Spool, rows_in
from bert_serving.server.bulk.tasks import Task

MOST_NAMED = 20
"""Records of a file without a vector that are named one by one; the others are counted."""
SHOWN_TEXTS, SHOWN_CHARACTERS = 3, 60
"""Of each file, before work begins."""


@dataclass(frozen=True)
class Rules:
    """`resume` continues where an earlier run ended, `overwrite` replaces outputs, `on_error` is stop, skip or zero."""

    resume: bool
    overwrite: bool
    on_error: str


def undone(tasks: Sequence[Task], rules: Rules) -> list[Task]:
    """The tasks without those that an earlier run has finished; with `overwrite` none is, nor is any half done.

    Raises BulkError where neither `resume` nor `overwrite` says what to do with what is there.
    """
    return [task for task in tasks if not _is_done(task, rules)]


def _is_done(task: Task, rules: Rules) -> bool:
    if task.part.exists():
        if not rules.resume and not rules.overwrite:
            raise BulkError(
                f"{task.part} was left by a run that did not finish: continue it with -resume, or start over with "
                "-overwrite"
            )
        if not rules.resume:
            task.part.unlink()
    elif task.output.exists():
        if rules.resume:
            print(f"{task.output.name} is complete")
            return True
        if not rules.overwrite:
            raise BulkError(f"{task.output.name} already exists: name another file, or replace it with -overwrite")
    return False


def rests_of(tasks: Sequence[Task]) -> list[Rest]:
    """What is left to do of each. Raises BulkError if a file cannot be read, or a spool is none."""
    for task in tasks:
        _show(task.source)
    return [Rest(task.source, rows_in(task.part)) for task in tasks]


def _show(source: Source) -> None:
    """What is about to be encoded, so that who sees another thing than texts can stop it before long work."""
    texts = [record.text for record in islice(source.read(), SHOWN_TEXTS) if record.trouble is None]
    shown = ", ".join(_quoted(text) for text in texts) or "no text among the first"
    note = f" ({source.reading.note})" if source.reading.note else ""
    print(f"{source.name}: {source.reading.format}{note}, which begins: {shown}", file=sys.stderr)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}...")


def encode_files(tasks: Sequence[Task], encoder: Encoder, rules: Rules) -> None:
    """Encode them with an encoder that was made for their rests. Raises BulkError and OSError."""
    if len(tasks) > 1:
        for task in tasks:
            if not task.part.exists():
                task.output.delete()  # what is there later on counts as complete
    for number, task in enumerate(tasks):
        _encode_file(task, number, encoder, rules)


def _encode_file(task: Task, number: int, encoder: Encoder, rules: Rules) -> None:
    task.output.parent().make_folder()
    about = {"input_bytes": task.source.location.size(), "column": task.source.column, "model": encoder.model}
    with Spool(task.part, about, encoder.shape) as spool:
        num_cut = _encode_rest(task, encoder.blocks(number), spool, rules)
        num_vectors = write_output(task.output, task.kind, task.source, spool)
    task.part.unlink()
    shape, num_left_out = list(spool.shape), spool.count - num_vectors
    print(f"{task.output.name}: {num_vectors} vectors of shape {shape}, {num_left_out} skipped, {num_cut} texts cut")


def _encode_rest(task: Task, blocks: Iterator[Block], spool: Spool, rules: Rules) -> int:
    """Bring what the spool does not have yet into it; how many texts were cut."""
    total = task.source.count()
    num_cut = num_bad = 0
    if spool.count:
        print(f"{spool.count} of {total} texts are already done", file=sys.stderr)
    with progress_bar(total, spool.count) as bar:
        for block in blocks:
            _keep(block, task, spool, rules)
            num_cut += block.num_cut
            for index, trouble in block.troubles.items():
                num_bad += 1
                if num_bad <= MOST_NAMED:
                    print(f"{task.source.name}, line {block.records[index].line}: {trouble}", file=sys.stderr)
            bar.update(len(block.records))
    if spool.count != total:
        raise BulkError(
            f"{task.source.name} had {total} records at first, but {spool.count} were read: the file has changed; "
            "start over with -overwrite"
        )
    if num_bad > MOST_NAMED:
        print(f"and {num_bad - MOST_NAMED} more", file=sys.stderr)
    return num_cut


def _keep(block: Block, task: Task, spool: Spool, rules: Rules) -> None:
    """Raises BulkError at the first text that cannot be encoded, unless `on_error` says what happens to it."""
    end = min(block.troubles, default=len(block.records)) if rules.on_error == "stop" else len(block.records)
    bad = Kind.SKIPPED if rules.on_error == "skip" else Kind.ZERO
    kinds = [bad if index in block.troubles else Kind.VECTOR for index in range(end)]
    spool.append(kinds, block.vectors[:end])
    if end < len(block.records):
        raise BulkError(
            f"{task.source.name}, line {block.records[end].line}: {block.troubles[end]}; fix it, or continue with "
            "-resume and -on_error skip or zero"
        )

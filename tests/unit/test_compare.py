"""The parts of `make compare` that compute nothing heavy: texts, ratios, the table, names of weights, its protocol."""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from architectures import ARCHITECTURES
from environments import Missing
from folders import TINY
from sentence_folders import dense, write_modules

from bert_serving.server.engine import contract
from bert_serving.server.worker.encoder import CPU_BATCH_TOKENS
from compare import rows_base, rows_engines, run, texts
from compare.agreement import apart, worst_cosine
from compare.checkpoint import BERT_BASE, MINILM, Size, google_name, shapes
from compare.commits import Commit, NoCommit, check_out, here
from compare.encoder import MOST_TOKENS, NoModel, encoder_in, with_positions
from compare.matrix_products import flops
from compare.noop_engine import DIM, NoopEngine
from compare.own_engine import micro_batches
from compare.peer import mean, padded
from compare.processes import READY, Contestant, Server, environment
from compare.rows_inside import views_row
from compare.run import TITLES
from compare.sources import WrongSources
from compare.table import PeerResult, Report, Row, Side, chosen_rows, fastest, good_enough
from compare.verdict import Beside, BesideReport, Figures, Verdict, gain, spread, turns, verdict


def test_sentences_are_the_short_texts() -> None:
    assert texts.sentences(["one two", "word " * 21]) == ["one two"]


def test_ratio_is_that_of_the_medians_and_above_one_is_better() -> None:
    more = Row("1", "rate", "texts/s", Side("ours", (10, 30, 20)), Side("1.10", (10, 5, 10)))
    less = Row("5", "time", "ms", Side("ours", (1, 2, 3)), Side("1.10", (4, 8, 3)), less_is_better=True)
    assert (more.ratio, more.spread) == (2, (1, 6))
    assert (less.ratio, less.spread) == (2, (1, 4))


def test_row_without_figures_says_why() -> None:
    report = Report({"rounds": 3}, [Row("2", "bulk", note="no | such\n  CPU")])
    assert report.rows[0].ratio is None
    assert "| 2 | bulk | | | - | | no / such CPU |" in report.as_markdown()


def test_row_with_one_side_shows_its_median() -> None:
    row = Row("12a", "messages", "us a text", Side("ours", (3, 1, 2)))
    assert "| 12a | messages | 2 us a text | | | | |" in " ".join(Report({}, [row]).as_markdown().split())
    assert (row.ratio, row.spread) == (None, None)


def test_report_holds_every_round_and_the_peers() -> None:
    row = Row("1", "bulk", "texts/s", Side("ours", (2, 4)), Side("1.10", (1, 1)))
    report = Report({"rounds": 2}, [row], [PeerResult("int8", Side("int8", (5, 7)), 0.99361901)])
    assert report.as_json()["rows"][0]["ours"]["figures"] == (2, 4)
    assert report.as_json()["rows"][0]["ratio"] == 3
    assert "| int8 | 6 | 0.993619 |" in report.as_markdown()
    assert "* rounds: 2" in report.as_markdown()


def test_fastest_goes_by_the_median() -> None:
    assert fastest([Side("steady", (5, 5, 5)), Side("lucky", (4, 4, 99))]).name == "steady"


def test_short_floats_are_held_to_the_same_quality_as_ours() -> None:
    peers = [
        PeerResult("torch float32", Side("float32", (1,)), None),
        PeerResult("torch bfloat16", Side("bfloat16", (3,)), 0.9993, "bfloat16"),
        PeerResult("torch autocast", Side("autocast", (2,)), 0.9999, "autocast"),
        PeerResult("int8", Side("int8", (9,)), 0.98, "int8"),
    ]
    assert [side.name for side in good_enough(peers, 0.99981)] == ["float32", "autocast"]
    assert [side.name for side in good_enough(peers, 0.9998)] == ["float32", "bfloat16", "autocast"]


def test_chosen_rows() -> None:
    assert chosen_rows("", TITLES) == set(range(1, 18))
    assert chosen_rows("1, 3-5,12", TITLES) == {1, 3, 4, 5, 12}
    for wrong in ("18", "0-2", "one"):
        with pytest.raises(ValueError, match=r"no row|invalid literal"):
            chosen_rows(wrong, TITLES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("embeddings.word_embeddings.weight", "bert/embeddings/word_embeddings"),
        ("embeddings.LayerNorm.bias", "bert/embeddings/LayerNorm/beta"),
        ("encoder.layer.11.attention.self.query.weight", "bert/encoder/layer_11/attention/self/query/kernel"),
        ("encoder.layer.0.output.LayerNorm.weight", "bert/encoder/layer_0/output/LayerNorm/gamma"),
        ("pooler.dense.bias", "bert/pooler/dense/bias"),
    ],
)
def test_names_of_weights(name: str, expected: str) -> None:
    assert google_name(name) == expected
    assert expected in dict(shapes(BERT_BASE, 30522))


def test_number_of_weights_is_that_of_the_models() -> None:
    def parameters(size: Size) -> int:
        return sum(int(np.prod(shape)) for _, shape in shapes(size, 30522))

    assert parameters(BERT_BASE) == 109_482_240  # as Google counts them: "110M"
    assert parameters(MINILM) == 22_713_216


def test_flops_of_one_token_and_one_layer() -> None:
    products = [(3 * 4, 4), (4, 4), (8, 4), (4, 8)]  # qkv, attention, intermediate, output
    expected = sum(2 * outputs * inputs for outputs, inputs in products) + 2 * 2 * 4  # and two dot products of 4
    assert flops(Size(4, 1, 2, 8), rows=1, tokens=1) == expected
    assert flops(Size(4, 3, 2, 8), rows=5, tokens=1) == 15 * expected


def test_micro_batches_are_sorted_full_and_complete() -> None:
    lengths = [3, 128, 40, 5, 127, 60] * 20
    rows = [contract.Row([0] * length, length, ()) for length in lengths]
    batches = micro_batches(rows)
    assert sorted(position for batch in batches for position in batch) == list(range(len(rows)))
    assert all(lengths[batch[0]] * len(batch) <= CPU_BATCH_TOKENS for batch in batches)
    in_turn = [lengths[position] for batch in batches for position in batch]
    assert in_turn == sorted(in_turn, reverse=True)


def test_peers_pool_the_mean_without_padding() -> None:
    ids, mask = padded([[7, 8, 9], [5]], padding=1)
    assert ids.tolist() == [[7, 8, 9], [5, 1, 1]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    layer = np.repeat(ids[..., None], 2, axis=2).astype(np.float32) + 100 * (mask[..., None] == 0)
    assert mean(layer.astype(np.float32), mask).tolist() == [[8, 8], [5, 5]]


def test_worst_cosine_is_that_of_the_worst_text(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[1, 0], [3, 4]], np.float32))
    np.save(tmp_path / "b.npy", np.array([[2, 0], [3, 0]], np.float32))
    assert worst_cosine(tmp_path / "a.npy", tmp_path / "b.npy") == pytest.approx(0.6)


def test_cosine_of_vectors_of_other_sizes_is_none(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 3), np.float32))
    for shape in ((2, 4), (1, 3)):
        np.save(tmp_path / "b.npy", np.ones(shape, np.float32))
        with pytest.raises(ValueError, match=r"vectors of \(2, 3\) stand beside vectors of"):
            worst_cosine(tmp_path / "a.npy", tmp_path / "b.npy")


def test_rankings_are_apart_by_scores_and_by_order() -> None:
    ours = [(2, 0.9), (0, 0.5), (1, 0.1)]
    assert apart(ours, ours) == 0
    assert apart(ours, [(2, 0.9), (0, 0.5), (1, 0.3)]) == pytest.approx(0.2)
    assert apart(ours, [(2, 0.9), (1, 0.1), (0, 0.5)]) == pytest.approx(0.4)  # its own scores are not in order
    near = [(2, 0.9), (0, 0.50001), (1, 0.50002)]
    assert apart(near, [(2, 0.9), (1, 0.50002), (0, 0.50001)]) == pytest.approx(1e-5)  # equal but for rounding
    for others in ([(2, 0.9), (0, 0.5)], [(2, 0.9), (0, 0.5), (3, 0.1)], []):
        assert apart(ours, others) == apart(others, ours) == float("inf")
    assert apart([], []) == float("inf")


def test_rankings_have_a_short_query_and_other_documents_each() -> None:
    passages = [f"passage {number}" for number in range(150)] + ["word " * 21]
    (first, documents), (second, others) = (texts.ranking(passages, number) for number in (0, 1))
    assert (first, second) == ("passage 0", "passage 1")
    assert documents == passages[:100]
    assert others == [*passages[100:], *passages[:49]]


def test_row_of_views_says_how_often_as_long_they_take() -> None:
    one = Side("one view", (100, 100))
    assert (
        views_row("13a", Side("three views", (80, 80)), one, 1.15).note == "takes 1.25 times as long, NOT at most 1.15"
    )
    row = views_row("13a", Side("three views", (90, 96)), one, 1.15)
    assert row.note == "takes 1.08 times as long, at most 1.15"
    assert row.ratio == pytest.approx(0.93)
    assert views_row("13c", one, Side("no options", (120, 120))).note == "takes 1.20 times as long"


def test_encoder_of_a_folder_has_nothing_around_it(tmp_path: Path) -> None:
    source = tmp_path / "model"
    source.mkdir()
    for file in (ARCHITECTURES / "mpnet").iterdir():
        (source / file.name).write_bytes(file.read_bytes())
    write_modules(source, [("Pooling", {"word_embedding_dimension": 48, "pooling_mode_cls_token": True}), dense(48, 8)])
    names = {"sentence_bert_config.json", "config_sentence_transformers.json"}
    for name in names:
        (source / name).write_text("{}")
    (source / "sentencepiece.bpe.model").write_bytes(b"")
    encoder = encoder_in(source, tmp_path / "encoder")
    there = {file.name for file in source.iterdir() if file.is_file()}
    assert {file.name for file in encoder.folder.iterdir()} == there - names - {"modules.json"}
    assert (encoder.name, encoder.tokens) == ("model: MPNet, 3 layers of 48", 96)  # positions of 98 less padding's two
    assert encoder.tokens < MOST_TOKENS


def test_folder_again_has_positions_in_its_config(tmp_path: Path) -> None:
    for family in ("roberta", "mpnet"):
        source = ARCHITECTURES / family
        folder = with_positions(source, tmp_path / family)
        config = json.loads((source / "config.json").read_text("utf-8"))
        found = json.loads((folder / "config.json").read_text("utf-8"))
        assert found == {**config, "position_embedding_type": "absolute"}
        assert {file.name for file in folder.iterdir()} == {file.name for file in source.iterdir()}
        assert with_positions(folder, tmp_path / f"{family} again").is_dir()
    (folder / "config.json").write_text('{"position_embedding_type": "relative_key"}')
    again = with_positions(folder, tmp_path / "other")
    assert json.loads((again / "config.json").read_text("utf-8")) == {"position_embedding_type": "relative_key"}


def test_folder_without_an_encoder_for_all_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    for model, reason in (
        (TINY, "a TensorFlow checkpoint, which no engine in process reads"),
        (tmp_path, "contains no model"),
        (tmp_path / "none", "is not a folder"),
    ):
        with pytest.raises(NoModel, match=reason):
            encoder_in(model, tmp_path / "encoder")


def test_rows_of_a_model_are_those_with_engines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run", "--model", "folder"])
    assert run.parsed().only == set(rows_engines.TITLES) == {6, 7, 8, 9, 15}
    for arguments, reason in (
        (["--model", "folder", "--only", "1"], "there is no row 1 here; the rows are 6, 7, 8, 9, 15"),
        (["--model", "folder", "--base", "HEAD"], "--base and --model cannot be combined"),
    ):
        monkeypatch.setattr(sys, "argv", ["run", *arguments])
        with pytest.raises(SystemExit):
            run.parsed()
        assert reason in capsys.readouterr().err


def test_noop_engine_gives_a_vector_for_each_text() -> None:
    engine: contract.Engine = NoopEngine(lanes=2)
    rows = [row for row in engine.features(["one two", "three"]) if isinstance(row, contract.Row)]
    assert [row.length for row in rows] == [2, 1]
    vectors = engine.run(rows)
    assert isinstance(vectors, np.ndarray)
    assert vectors.shape == (2, DIM)


def test_contestant_that_does_not_start_is_missing() -> None:
    with pytest.raises(Missing, match="No module named"), Contestant(sys.executable, "no_such"):
        pass


def test_server_that_does_not_start_is_missing() -> None:
    with pytest.raises(Missing, match="out of service"), Server([sys.executable, "-c", "exit('out of service')"]):
        pass


def test_protocol_answers_in_turn_whatever_a_library_prints() -> None:
    code = "from compare.protocol import serve; serve({'double': lambda x: print('noise') or {'twice': 2 * x}})"
    asked = '{"do": "double", "x": 4}\n{"do": "double"}\n'
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, env=environment(), timeout=60)
    ready, answer, error = done.stdout.splitlines()
    assert (ready, answer) == ('{"ready": true}', '{"twice": 8}')
    assert "TypeError" in error


BASE, OURS, AGAIN = Side("base", (10, 12, 11)), Side("this tree", (20, 22, 24)), Side("base again", (11, 11, 11))


def beside(factor: float, *, less_is_better: bool = True) -> Beside:
    ours = Side("this tree", tuple(factor * value for value in AGAIN.figures))
    return Beside("12a", "messages", "us", Figures(BASE, ours, AGAIN), less_is_better=less_is_better)


def test_spread_is_how_far_apart_figures_of_one_thing_usually_lie() -> None:
    assert spread((10, 12, 11), (11, 11, 11)) == pytest.approx(1)
    assert spread((10, 10, 10), (11, 12, 10)) == pytest.approx(1.1)
    assert spread((10, 12), (12, 10)) == pytest.approx(1.2)
    assert spread((100, 10, 10), (10, 11, 10)) == pytest.approx(1.1)  # one round disturbed makes no wide spread
    assert spread((7,), (7,)) == 1


@pytest.mark.parametrize(
    ("first", "second"), [((3, 9, 5), (4, 4, 8)), ((1, 2, 3, 4), (4, 3, 2, 1)), ((5, 6, 5, 7, 9), (6, 6, 5, 9, 3))]
)
def test_spread_is_the_farthest_of_all_swaps(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    found = []
    for swapped in itertools.product((False, True), repeat=len(first)):
        pairs = [(b, a) if swap else (a, b) for a, b, swap in zip(first, second, swapped, strict=True)]
        one, other = ([pair[side] for pair in pairs] for side in (0, 1))
        found.append(statistics.median(one) / statistics.median(other))
    assert spread(first, second) == pytest.approx(max(found))


def test_verdict_is_of_what_lies_beyond_the_spread_in_either_direction() -> None:
    assert verdict(0.94, 1.05) is Verdict.WORSE
    assert [verdict(ratio, 1.05) for ratio in (0.96, 1, 1.04)] == [Verdict.WITHIN] * 3
    assert verdict(1.06, 1.05) is Verdict.BETTER
    assert [verdict(ratio, 1) for ratio in (0.999, 1, 1.001)] == [Verdict.WORSE, Verdict.WITHIN, Verdict.BETTER]
    assert verdict(0.5, 2) is Verdict.WITHIN


def test_ratio_to_the_base_is_above_one_for_the_better() -> None:
    assert beside(2).ratio == 0.5
    assert beside(2, less_is_better=False).ratio == 2
    assert (beside(2).verdict, beside(0.8).verdict, beside(1).verdict) == (
        Verdict.WORSE,
        Verdict.BETTER,
        Verdict.WITHIN,
    )
    assert gain(0, 0, less_is_better=True) == 1  # no CPU time at all is no reason to fail


def test_base_is_both_of_its_servers() -> None:
    row = Beside("3", "rate", "texts/s", Figures(Side("base", (8,)), Side("this tree", (10,)), Side("again", (12,))))
    assert (row.ratio, row.spread, row.verdict) == (1, 1.5, Verdict.WITHIN)


def test_report_with_a_base_is_good_if_all_is_measured_and_nothing_worse() -> None:
    assert BesideReport({}, [beside(1), beside(0.8)]).is_good
    assert not BesideReport({}, [beside(1), beside(2)]).is_good
    assert not BesideReport({}, [beside(1), Beside("9", "bulk", note="left out: no | such")]).is_good


def test_table_with_a_base() -> None:
    report = BesideReport({"base": "0123abc"}, [beside(2), Beside("9", "bulk", note="left out: no | such")])
    text = " ".join(report.as_markdown().split())
    assert "| 12a | messages | 11 us | 11 us | 22 us | 0.500 | 1.000 to 1.000 | WORSE |" in text
    assert "| 9 | bulk | | | | - | | left out: no / such |" in text
    assert "* base: 0123abc" in text
    row, missing = json.loads(json.dumps(report.as_json()))["rows"]
    assert (row["verdict"], row["figures"]["base"]["figures"]) == ("WORSE", [10, 12, 11])
    assert (missing["verdict"], missing["ratio"]) == (None, None)


def test_each_side_begins_a_round_and_ends_one() -> None:
    rounds = [turns("ABC", number) for number in range(3)]
    assert all(set(places) == set("ABC") for places in (*rounds, *zip(*rounds, strict=True)))


def test_rows_with_a_base_belong_to_one_group_each() -> None:
    assert sorted(itertools.chain(*rows_base.TOGETHER)) == sorted(rows_base.TITLES) == [3, 4, 5, 9, 12]
    with pytest.raises(ValueError, match="no row 1 here; the rows are 3, 4, 5, 9, 12"):
        chosen_rows("1,3", rows_base.TITLES)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two commits, with a client and a server that know which one they are of, and changes after them."""
    root = tmp_path / "repository"
    files = [root / "client/bert_serving/client/__init__.py", root / "server/bert_serving/server/__init__.py"]
    git = ["git", "-C", str(root), "-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    for number in (1, 2, 3):
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"NUMBER = {number}\n")
        commands = [["init", "-q"], ["add", "."], ["commit", "-q", "--no-gpg-sign", "-m", "more"]] if number < 3 else []
        for command in commands:
            subprocess.run([*git, *command], check=True, timeout=60)
    return root


def test_commit_is_checked_out_apart_from_what_stands_here(repository: Path, tmp_path: Path) -> None:
    base, ours = check_out("HEAD~1", tmp_path / "base", repository), here(repository)
    assert ours.name.endswith(", with changes")
    assert not ours.name.startswith(base.name)
    code = "import bert_serving.client as c, bert_serving.server as s; print(c.NUMBER, s.NUMBER)"
    for commit, number in ((base, 1), (ours, 3)):
        commit.check()
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment(commit.folder), capture_output=True, text=True, timeout=60)
        assert done.stdout.split() == [str(number)] * 2


@pytest.mark.parametrize("commit", ["no-such", "", "--all", "HEAD:client"])
def test_what_is_no_commit_is_refused(repository: Path, tmp_path: Path, commit: str) -> None:
    with pytest.raises(NoCommit, match="is no commit of"):
        check_out(commit, tmp_path / "base", repository)
    with pytest.raises(NoCommit):
        check_out("HEAD", tmp_path / "base", tmp_path)


def test_other_sources_than_the_commit_s_are_noticed(repository: Path, tmp_path: Path) -> None:
    (repository / "server/bert_serving/server/__init__.py").unlink()  # so that the one of this environment is found
    with pytest.raises(WrongSources, match=r"HEAD cannot be measured: .*bert_serving\.server is .*PYTHONPATH"):
        Commit("HEAD", repository).check()
    for module in ("load", "noop_server", "checked_server"):
        with (
            pytest.raises(Missing, match="is not in"),
            Contestant(sys.executable, module, "1", "2", "texts", sources=tmp_path),
        ):
            pass


def test_cpu_time_of_a_server_is_that_of_all_its_processes_but_some() -> None:
    child = (
        "import signal, sys, time\n"
        "while time.process_time() < float(sys.argv[1]): pass\n"
        "print(flush=True); signal.pause()"
    )
    parent = (
        "import signal, subprocess, sys\n"
        f"start = lambda s: subprocess.Popen([sys.executable, '-c', {child!r}, s], stdout=subprocess.PIPE)\n"
        "worker, sink = start('0.6'), start('0.2')\n"
        "worker.stdout.readline(), sink.stdout.readline()\n"
        f"print(worker.pid, {READY!r}, flush=True); signal.pause()"
    )
    with Server([sys.executable, "-c", parent]) as server:
        worker = int(server.log.read_text().split()[0])
        most_s = server.cpu_s(but={worker})
        assert most_s >= 0.2
        assert server.cpu_s() - most_s >= 0.6

"""Tokenizers as they come: the ids of `transformers` for every tiny model, special tokens, own tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from architectures import ARCHITECTURES, CASES, MODELS, content_of, copy_of, row_of, tiny, tokenizer_of
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.features import FeatureMaker
from bert_serving.server.engine.pipeline import Pipeline
from bert_serving.server.engine.sides import kept_lengths
from bert_serving.server.options import get_args_parser

CASED = {name: case for name, case in CASES["models"].items() if "ids" in case}


def library(name: str) -> Tokenizer:
    return Tokenizer.from_file(str(ARCHITECTURES / name / "tokenizer.json"))


@pytest.mark.parametrize("name", CASED)
def test_ids_are_those_of_transformers(name: str) -> None:
    case = CASED[name]
    texts = [" ||| ".join(pair) for pair in CASES["pairs"]] if name.startswith("cross_") else CASES["texts"]
    rows = [row_of(tiny(name), text, case["limit"]) for text in texts]
    assert [row.ids for row in rows] == case["ids"]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("limit", [7, 8, 24, 512])
def test_rows_are_what_the_library_makes(name: str, limit: int) -> None:
    """Ids, tokens, the places of special tokens and the type ids, of texts and pairs."""
    expected = library(name)
    expected.enable_truncation(limit, strategy="longest_first")
    typed = "token_type_ids" in content_of(name, "tokenizer_config")["model_input_names"]
    for texts in [*((text,) for text in CASES["texts"]), *map(tuple, CASES["pairs"]), ("bridge " * 90, "the " * 91)]:
        encoding = expected.encode(*texts)
        row = row_of(tiny(name), " ||| ".join(texts), limit)
        assert row.ids == encoding.ids
        assert tiny(name).tokens(row.ids) == [expected.id_to_token(index) for index in encoding.ids]
        assert row.special == tuple(place for place, side in enumerate(encoding.sequence_ids) if side is None)
        assert row.first_length == (encoding.type_ids.count(0) if typed else row.length)
        assert row.truncated == bool(encoding.overflowing)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(3, 50))
def test_pairs_are_cut_as_by_the_library(first: int, second: int, limit: int) -> None:
    expected = library("cross_bert")
    expected.enable_truncation(limit, strategy="longest_first")
    encoding = expected.encode(["the"] * first, ["the"] * second, is_pretokenized=True)
    sides = encoding.sequence_ids
    assert kept_lengths(first, second, limit - 3, library=True) == (sides.count(0), sides.count(1))


@pytest.mark.parametrize(("numbers", "kept"), [((200, 300), (2, 3)), ((300, 200), (3, 2)), ((200, 200), (2, 3))])
@pytest.mark.parametrize("as_tokens", [False, True])
def test_the_odd_token_goes_to_the_side_that_was_longer(
    numbers: tuple[int, int], kept: tuple[int, int], as_tokens: bool
) -> None:
    first, second = (["the"] * number for number in numbers)
    row = row_of(
        tiny("cross_bert"), [*first, "|||", *second] if as_tokens else " ||| ".join(map(" ".join, (first, second))), 8
    )
    assert (row.special[1] - 1, row.special[2] - row.special[1] - 1) == kept


# -- special tokens in texts ------------------------------------------------------------------------------------------

SPECIAL = {"WordPiece": ("cross_bert", "[SEP]"), "BPE": ("roberta", "</s>"), "Unigram": ("xlm_roberta", "</s>")}


@pytest.mark.parametrize("kind", SPECIAL)
def test_a_special_token_in_a_text_is_what_the_tokenizer_makes_of_it(kind: str) -> None:
    name, token = SPECIAL[kind]
    text = f"bridge{token}the river"
    assert row_of(tiny(name), text).ids == library(name).encode(text).ids
    assert row_of(tiny(name), text).special == (0, row_of(tiny(name), text).length - 1)


@pytest.mark.parametrize("kind", SPECIAL)
def test_special_tokens_as_text(kind: str) -> None:
    name, token = SPECIAL[kind]
    tokenizer = tokenizer_of(ARCHITECTURES / name, special_tokens="text")
    special = library(name).token_to_id(token)
    assert special is not None
    row = row_of(tokenizer, f"bridge{token}the river")
    assert row.ids.count(special) == 1 + (row.ids[0] == special)
    assert row.ids[-1] == special
    assert tokenizer.tokens(row.ids)[-1] == token
    for text in CASES["texts"]:
        assert row_of(tokenizer, text) == row_of(tiny(name), text)
    assert row_of(tokenizer, [*tokenizer.tokens([row.ids[1]]), token]).ids[1:3] == [row.ids[1], special]
    assert tokenizer.unk == tiny(name).unk


@pytest.mark.parametrize("kind", ["WordPiece", "BPE"])
def test_a_folder_may_say_that_they_are_text(kind: str, tmp_path: Path) -> None:
    name, token = SPECIAL[kind]
    config = {**content_of(name, "tokenizer_config"), "split_special_tokens": True}
    tokenizer = tokenizer_of(copy_of(name, tmp_path, tokenizer_config=config))
    assert row_of(tokenizer, f"a{token}b") == row_of(
        tokenizer_of(ARCHITECTURES / name, special_tokens="text"), f"a{token}b"
    )


def test_special_tokens_are_folder_or_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        get_args_parser().parse_args(["-model_dir", "M", "-special_tokens", "none"])
    assert "must be one of folder, text, not 'none'" in capsys.readouterr().err
    for value in ("folder", "text"):
        assert get_args_parser().parse_args(["-model_dir", "M", "-special_tokens", value]).special_tokens == value


@pytest.mark.parametrize("where", ["added_tokens", "special_tokens_map", "tokenizer_config", "extra"])
@pytest.mark.parametrize("name", ["cross_bert", "roberta", "xlm_roberta"])
def test_added_tokens_are_heeded(where: str, name: str, tmp_path: Path) -> None:
    """Wherever they stand; each folder's table is made larger by one."""
    config = content_of(name, "tokenizer_config")
    size = content_of(name, "config")["vocab_size"]
    files: dict[str, Any] = {"config": {**content_of(name, "config"), "vocab_size": size + 1}}
    mark = {"content": "<new>", "lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
    if where == "added_tokens":
        files["added_tokens"] = {"<new>": size}
    elif where == "special_tokens_map":
        files["special_tokens_map"] = {"additional_special_tokens": [mark]}
    elif where == "extra":
        files["tokenizer_config"] = {**config, "extra_special_tokens": ["<new>"]}
    else:
        files["tokenizer_config"] = {**config, "added_tokens_decoder": {str(size): {**mark, "special": True}}}
    tokenizer = tokenizer_of(copy_of(name, tmp_path, **files))
    assert row_of(tokenizer, "bridge<new>river").ids.count(size) == 1
    assert tokenizer.tokens([size]) == ["<new>"]


# -- own tokens and ids -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_own_tokens_and_ids_give_the_row_of_the_text(name: str) -> None:
    text = CASES["texts"][3]
    row = row_of(tiny(name), text)
    tokens = [token for place, token in enumerate(tiny(name).tokens(row.ids)) if place not in row.special]
    ids = [index for place, index in enumerate(row.ids) if place not in row.special]
    assert row_of(tiny(name), tokens) == row
    assert row_of(tiny(name), ids) == row
    assert row_of(tiny(name), ids, no_special_token=True).ids == ids
    pair = row_of(tiny(name), [*tokens, "|||", *tokens])
    assert pair == row_of(tiny(name), f"{text} ||| {text}")


@pytest.mark.parametrize("name", MODELS)
def test_tokens_that_nobody_knows(name: str) -> None:
    (found,) = FeatureMaker(tiny(name), 64).rows([["zyzzyva"]])
    if content_of(name)["model"]["type"] == "BPE":
        assert found == "the vocabulary has no token 'zyzzyva', and no unknown token to replace it"
    else:
        unknown = {"cross_xlm_roberta": "<unk>"}.get(name, content_of(name, "tokenizer_config")["unk_token"])
        assert isinstance(found, Row)
        assert found.ids[1] == library(name).token_to_id(unknown)


@pytest.mark.parametrize("strange", [-1, 344, 2**40])
def test_ids_beyond_the_vocabulary(strange: int) -> None:
    (found,) = FeatureMaker(tiny("xlm_roberta"), 64).rows([[5, strange]])
    assert found == f"the vocabulary has token ids 0 to 343, not {strange}"


def test_ids_in_a_gap(tmp_path: Path) -> None:
    content, config = content_of("roberta"), content_of("roberta", "config")
    content["added_tokens"].append({**content["added_tokens"][0], "id": 700, "content": "<new>"})
    content["model"]["vocab"] = {
        token: index + 10 * (index == 699) for token, index in content["model"]["vocab"].items()
    }
    folder = copy_of("roberta", tmp_path, tokenizer=content, config={**config, "vocab_size": 720})
    tokenizer = tokenizer_of(folder)
    (found,) = FeatureMaker(tokenizer, 64).rows([[5, 699]])
    assert isinstance(found, str)
    assert found.endswith("not 699")


# -- other files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "typed"),
    [
        ({"tokenizer_class": "BertTokenizer"}, True),
        ({"tokenizer_class": "BertTokenizerFast"}, True),
        ({"tokenizer_class": "ElectraTokenizer"}, True),
        ({"tokenizer_class": "DistilBertTokenizer"}, False),
        ({"tokenizer_class": "MPNetTokenizerFast"}, False),
        ({"tokenizer_class": "PreTrainedTokenizerFast"}, False),
        ({"tokenizer_class": "TokenizersBackend"}, False),
        ({"tokenizer_class": "XLMRobertaTokenizer"}, False),
        ({"tokenizer_class": "BertTokenizer", "model_input_names": ["input_ids"]}, False),
        ({"tokenizer_class": "TokenizersBackend", "model_input_names": ["input_ids", "token_type_ids"]}, True),
        (None, True),
    ],
    ids=str,
)
def test_type_ids_are_fed_as_the_class_says(values: Any, typed: bool, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(copy_of("cross_bert", tmp_path, tokenizer_config=values))
    row = row_of(tokenizer, "one ||| two")
    assert row.ids == row_of(tiny("cross_bert"), "one ||| two").ids
    assert (row.first_length < row.length) == typed


def vocab_txt_of(name: str, folder: Path, **files: Any) -> Path:
    """The folder with vocab.txt in place of tokenizer.json."""
    copy_of(name, folder, tokenizer=None, **files)
    vocab = content_of(name)["model"]["vocab"]
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in sorted(vocab, key=vocab.__getitem__)), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("name", "kind"),
    [("cross_bert", "BertTokenizer"), ("mpnet", "MPNetTokenizer"), ("distilbert", "DistilBertTokenizerFast")],
)
def test_vocab_txt_of_a_class_is_as_good_as_tokenizer_json(name: str, kind: str, tmp_path: Path) -> None:
    config = {**content_of(name, "tokenizer_config"), "tokenizer_class": kind}
    tokenizer = tokenizer_of(vocab_txt_of(name, tmp_path, tokenizer_config=config))
    for text in [*CASES["texts"], *(" ||| ".join(pair) for pair in CASES["pairs"]), "a[SEP]b</s>c"]:
        assert row_of(tokenizer, text) == row_of(tiny(name), text)


def test_vocab_txt_without_a_word_about_the_tokenizer(tmp_path: Path) -> None:
    tokenizer = tokenizer_of(vocab_txt_of("cross_bert", tmp_path, tokenizer_config=None))
    assert row_of(tokenizer, "a[SEP]b ||| c") == row_of(tiny("cross_bert"), "a[SEP]b ||| c")


def test_old_folders_of_roberta(tmp_path: Path) -> None:
    content = content_of("roberta")
    config = {**content_of("roberta", "tokenizer_config"), "tokenizer_class": "RobertaTokenizer"}
    copy_of("roberta", tmp_path, tokenizer=None, tokenizer_config=config, vocab=content["model"]["vocab"])
    lines = [merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"]]
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *lines, ""]), "utf-8")
    tokenizer = tokenizer_of(tmp_path)
    for text in [*CASES["texts"], *(" ||| ".join(pair) for pair in CASES["pairs"]), "a</s>b"]:
        assert row_of(tokenizer, text) == row_of(tiny("roberta"), text)


@pytest.mark.parametrize("name", ["cross_bert", "roberta", "albert"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
def test_lower_case_of_sentence_transformers(kind: str, name: str, tmp_path: Path) -> None:
    """Before all else, where nothing does it yet; accents are not its business."""
    folder = copy_of(name, tmp_path, **{f"sentence_{kind}_config": {"do_lower_case": True}})
    tokenizer = tokenizer_of(folder)
    for text in CASES["texts"]:
        assert row_of(tokenizer, text) == row_of(tiny(name), text.lower())


def test_case_of_a_class_of_berts_kind(tmp_path: Path) -> None:
    config = {**content_of("cross_bert", "tokenizer_config"), "do_lower_case": False}
    bare = tokenizer_of(copy_of("cross_bert", tmp_path, tokenizer_config=config))
    assert bare.encode(["HELLO"]) == bare.encode(["hello"])
    config["tokenizer_class"] = "BertTokenizer"
    named = tokenizer_of(copy_of("cross_bert", tmp_path, tokenizer_config=config))
    assert named.encode(["HELLO"]) != named.encode(["hello"])


def test_a_space_before_the_first_word(tmp_path: Path) -> None:
    config = {
        **content_of("roberta", "tokenizer_config"),
        "tokenizer_class": "RobertaTokenizer",
        "add_prefix_space": True,
    }
    tokenizer = tokenizer_of(copy_of("roberta", tmp_path, tokenizer_config=config))
    assert row_of(tokenizer, "bridge") == row_of(tiny("roberta"), " bridge")


def test_truncation_and_padding_of_the_file_are_left_out(tmp_path: Path) -> None:
    content = content_of("mpnet")
    content["truncation"] = {"direction": "Left", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    content["padding"] = {
        "strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 1, "pad_type_id": 0,
        "pad_token": "<pad>",
    }  # fmt: skip
    tokenizer = tokenizer_of(copy_of("mpnet", tmp_path, tokenizer=content))
    for text in CASES["texts"]:
        assert row_of(tokenizer, text) == row_of(tiny("mpnet"), text)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cross_bert", "BertTokenizer"),
        ("mpnet", "MPNetTokenizer"),
        ("roberta", "RobertaTokenizerFast"),
        ("xlm_roberta", "XLMRobertaTokenizerFast"),
        ("camembert", "CamembertTokenizer"),
        ("albert", "AlbertTokenizer"),
    ],
)
def test_without_a_template_the_class_has_one(name: str, kind: str, tmp_path: Path) -> None:
    config = {**content_of(name, "tokenizer_config"), "tokenizer_class": kind}
    content = {**content_of(name), "post_processor": None}
    tokenizer = tokenizer_of(copy_of(name, tmp_path, tokenizer=content, tokenizer_config=config))
    for text in ("the bridge", "the ||| bridge"):
        assert row_of(tokenizer, text) == row_of(tiny(name), text)


def test_without_a_template_a_bare_tokenizer_adds_nothing(tmp_path: Path) -> None:
    folder = copy_of("mpnet", tmp_path, tokenizer={**content_of("mpnet"), "post_processor": None})
    tokenizer = tokenizer_of(folder)
    assert row_of(tokenizer, "the").special == ()
    assert FeatureMaker(tokenizer, 64).rows([""]) == ["the text has no tokens, and the model's tokenizer adds none"]


def test_the_bare_pipeline_is_googles() -> None:
    from bert_serving.server.engine.word_piece import Normalization, word_piece

    text = word_piece(["[UNK]", "[CLS]", "[SEP]"], Normalization())
    assert Pipeline.of(text) == Pipeline(text, 0, library_pairs=False)
    wrapped = Pipeline(text, 5, special_as_text=True)
    assert Pipeline.of(wrapped.text()) == wrapped

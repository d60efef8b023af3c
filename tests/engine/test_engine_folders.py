"""Model folders of both kinds: what is read, and the sentence that tells what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine import bert_engine
from bert_serving.server.engine.bert_engine import BertEngine
from bert_serving.server.errors import ConfigError, StartError

TINY = Path(__file__).parents[1] / "golden" / "tiny_bert"
TEXTS = ["hello world!", "First do it ||| then do it right", "Café 你好"]

Load = Callable[..., BertEngine]
Folder = Callable[..., Path]
Weights = dict[str, Any]


def resolve(folder: Path, **options: Any) -> ServerConfig:
    return bert_engine.resolve(ServerConfig.from_mapping({"model_dir": str(folder), "cpu": True, **options}))


def prepare(folder: Path, **options: Any) -> str:
    return bert_engine.prepare(resolve(folder, graph_tmp_dir=str(folder), **options), lambda text: None)


def vectors(engine: BertEngine) -> Any:
    return engine.run([row for row in engine.features(TEXTS) if not isinstance(row, str)])


def assert_same(folder: Path, load_engine: Load, atol: float = 1e-5) -> None:
    """The folder's model gives the tiny model's vectors."""
    found = load_engine(model_dir=str(folder), pooling_layer=[-1])
    np.testing.assert_allclose(vectors(found), vectors(load_engine(pooling_layer=[-1])), rtol=0, atol=atol)


# -- folders that work ------------------------------------------------------------------------------------------------


@pytest.mark.tensorflow
def test_hugging_face(torch_folder: Folder, load_engine: Load) -> None:
    assert_same(torch_folder(), load_engine)


@pytest.mark.tensorflow
def test_hugging_face_with_prefix_old_names_buffers_and_heads(
    torch_folder: Folder, torch_weights: Weights, load_engine: Load
) -> None:
    old = {
        "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in torch_weights.items()
    }
    old["bert.embeddings.position_ids"] = np.arange(64)[None]
    old["cls.predictions.bias"] = np.zeros(5763, np.float32)
    assert_same(torch_folder(old), load_engine)


@pytest.mark.tensorflow
def test_shards(torch_folder: Folder, torch_weights: Weights, load_engine: Load) -> None:
    from safetensors.numpy import save_file

    folder = torch_folder()
    (folder / "model.safetensors").unlink()
    names = sorted(torch_weights)
    places = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(names)}
    for file in set(places.values()):
        save_file({name: torch_weights[name] for name in names if places[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    assert_same(folder, load_engine)


def write_tokenizer_json(folder: Path, **parts: Any) -> None:
    tokens = (folder / "vocab.txt").read_text("utf-8").split("\n")[:-1]
    model = {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {token: number for number, token in enumerate(tokens)}}
    content = {
        "added_tokens": [{"id": 0, "content": "[PAD]"}],
        "normalizer": {"type": "BertNormalizer", "lowercase": True, "strip_accents": None},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": model,
    }
    (folder / "tokenizer.json").write_text(json.dumps({**content, **parts}))


@pytest.mark.tensorflow
def test_vocabulary_out_of_tokenizer_json(torch_folder: Folder, load_engine: Load) -> None:
    folder = torch_folder()
    write_tokenizer_json(folder)
    (folder / "vocab.txt").unlink()
    assert_same(folder, load_engine)


@pytest.mark.tensorflow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats_are_widened(dtype: str, torch_folder: Folder, torch_weights: Weights, load_engine: Load) -> None:
    if dtype == "float16":
        folder = torch_folder({name: value.astype(np.float16) for name, value in torch_weights.items()})
    else:
        folder = torch_folder()
        write_bfloat16(folder / "model.safetensors", torch_weights)
    assert_same(folder, load_engine, atol=0.01 if dtype == "float16" else 0.08)


def write_bfloat16(path: Path, tensors: Weights) -> None:
    """By hand, for numpy has no such type: a length, a JSON header, then the upper halves of all float32 numbers."""
    header, data = {}, b""
    for name, value in tensors.items():
        halves = (np.ascontiguousarray(value).view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": value.shape, "data_offsets": [len(data), len(data) + len(halves)]}
        data += halves
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.mark.tensorflow
def test_layer_norm_epsilon_is_read(torch_folder: Folder, load_engine: Load) -> None:
    strange = load_engine(model_dir=str(torch_folder(layer_norm_eps=0.5)), pooling_layer=[-1])
    assert np.abs(vectors(strange) - vectors(load_engine(pooling_layer=[-1]))).max() > 0.1


@pytest.mark.tensorflow
@pytest.mark.parametrize("activation", ["gelu_new", "relu"])
def test_other_activations_are_built(activation: str, torch_folder: Folder, load_engine: Load) -> None:
    other = load_engine(model_dir=str(torch_folder(hidden_act=activation)), pooling_layer=[-1])
    difference = np.abs(vectors(other) - vectors(load_engine(pooling_layer=[-1]))).max()
    assert difference > 0
    assert (difference < 0.01) == (activation == "gelu_new")  # an approximation of gelu, and not at all


@pytest.mark.parametrize(
    ("tokenizer_config", "normalizer", "options", "lowercase"),
    [
        pytest.param(None, None, {}, True, id="nothing said"),
        pytest.param({"do_lower_case": False}, None, {}, False, id="tokenizer_config"),
        pytest.param(None, {"lowercase": False}, {}, False, id="tokenizer.json"),
        pytest.param({"do_lower_case": True}, {"lowercase": False}, {}, True, id="tokenizer_config first"),
        pytest.param({"do_lower_case": True}, None, {"cased_tokenization": True}, False, id="-cased_tokenization"),
    ],
)
def test_case_as_the_folder_says(
    tokenizer_config: Any, normalizer: Any, options: dict[str, Any], lowercase: bool, torch_folder: Folder
) -> None:
    from bert_serving.server.engine.model_folder import find_model
    from bert_serving.server.engine.tokenization import load_tokenizer

    folder = torch_folder()
    if tokenizer_config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    if normalizer is not None:
        write_tokenizer_json(folder, normalizer={"type": "BertNormalizer", **normalizer})
    config = resolve(folder, **options)
    tokenizer = load_tokenizer(config, find_model(config))
    (upper,), (lower,) = tokenizer.encode(["HELLO"]), tokenizer.encode(["hello"])
    assert (upper == lower) == lowercase


# -- folders that do not ----------------------------------------------------------------------------------------------


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"-model_dir .*absent is not a folder"):
        resolve(tmp_path / "absent")
    with pytest.raises(StartError, match=r"-tuned_model_dir .*absent is not a folder"):
        resolve(TINY, tuned_model_dir=str(tmp_path / "absent"))


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"holds no BERT.*bert_model\.ckpt\.index.*model\.safetensors"):
        resolve(tmp_path)


def copy_tiny(folder: Path, *, without: str = "") -> Path:
    for file in TINY.iterdir():
        if file.name != without:
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.mark.parametrize(
    "name", ["bert_config.json", "vocab.txt", "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"]
)
def test_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=f"{name} is missing"):
        resolve(copy_tiny(tmp_path, without=name))


def test_another_checkpoint_is_pointed_out() -> None:
    with pytest.raises(StartError, match=r"give -ckpt_name model\.ckpt-343"):
        resolve(TINY, tuned_model_dir=str(TINY.parent / "tiny_bert_tuned"))


def test_pickles_are_refused(torch_folder: Folder) -> None:
    folder = torch_folder()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(StartError, match=r"pytorch_model\.bin.*never loaded.*model\.safetensors"):
        resolve(folder)


def test_missing_shard(torch_folder: Folder) -> None:
    folder = torch_folder()
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    with pytest.raises(StartError, match=r"model-1\.safetensors is missing"):
        resolve(folder)
    index.write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    with pytest.raises(StartError, match="weight_map"):
        resolve(folder)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"model_type": "roberta"}, 'model_type is "roberta"'),
        ({"hidden_act": "swish"}, 'hidden_act "swish"'),
        ({"position_embedding_type": "relative_key"}, 'position_embedding_type "relative_key"'),
        ({"is_decoder": True}, "is_decoder"),
        ({"hidden_size": None}, "hidden_size must be a whole number of at least 1, not null"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be a whole number of at least 1, not 0"),
        ({"num_attention_heads": 5}, "hidden_size 48 is no multiple of num_attention_heads 5"),
        ({"layer_norm_eps": "tiny"}, 'layer_norm_eps must be a small number, not "tiny"'),
        ({"vocab_size": 5764}, r"vocab\.txt has 5763 tokens, but vocab_size is 5764"),
        ({"vocab_size": 5760}, r"vocab\.txt has 5763 tokens, but vocab_size is 5760"),
    ],
)
def test_config_that_cannot_be_served(values: dict[str, Any], sentence: str, torch_folder: Folder) -> None:
    with pytest.raises(StartError, match=sentence):
        resolve(torch_folder(**values))


@pytest.mark.parametrize(
    ("text", "sentence"), [("{", "not valid JSON"), ("[]", "must hold a JSON object"), ("\udc80", "not valid JSON")]
)
def test_broken_config(text: str, sentence: str, torch_folder: Folder) -> None:
    folder = torch_folder()
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(StartError, match=rf"config\.json.*{sentence}"):
        resolve(folder)


def test_broken_vocabulary(tmp_path: Path) -> None:
    folder = copy_tiny(tmp_path)
    (folder / "vocab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(StartError, match=r"vocab\.txt is not UTF-8"):
        resolve(folder)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"model": {"type": "BPE"}}, "BPE tokenizer, and only WordPiece"),
        ({"normalizer": {"type": "Lowercase"}}, "normalizer is Lowercase"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer is Whitespace"),
        ({"model": {"type": "WordPiece", "vocab": {"a": 0, "b": 2}}}, "without a gap"),
    ],
)
def test_tokenizer_that_cannot_be_served(parts: dict[str, Any], sentence: str, torch_folder: Folder) -> None:
    folder = torch_folder()
    write_tokenizer_json(folder, **parts)
    (folder / "vocab.txt").unlink()
    with pytest.raises(StartError, match=rf"tokenizer\.json.*{sentence}"):
        resolve(folder)


def test_options_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="-max_seq_len 65 is above the model's max_position_embeddings 64"):
        resolve(TINY, max_seq_len=65)
    with pytest.raises(ConfigError, match="-pooling_layer -5 is below the model's first layer, which is -4"):
        resolve(TINY, pooling_layer=[-1, -5])
    with pytest.raises(ConfigError, match="-normalize makes no sense with REGRESSION"):
        resolve(TINY, pooling_strategy="REGRESSION", normalize=True)
    assert resolve(TINY, max_seq_len=64, pooling_layer=[-4]).max_seq_len == 64


def test_resolve_tells_the_longest_sequence() -> None:
    assert resolve(TINY).max_positions == 64


def test_without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StartError, match=r"install './server\[cpu\]' or './server\[gpu\]'"):
        resolve(TINY)


# -- weights that do not fit ------------------------------------------------------------------------------------------


@pytest.mark.tensorflow
def test_missing_variable_is_named(google_folder: Folder) -> None:
    name = "bert/encoder/layer_1/output/dense/bias"
    with pytest.raises(StartError, match=rf"has no variable {name}, expected with shape \[48\]"):
        prepare(google_folder(without=name))


@pytest.mark.tensorflow
def test_missing_variable_above_what_is_needed_is_none(google_folder: Folder) -> None:
    assert prepare(google_folder(without="bert/encoder/layer_3/output/dense/bias"), pooling_layer=[-2])


@pytest.mark.tensorflow
def test_shape_of_a_variable(google_folder: Folder) -> None:
    name = "bert/encoder/layer_0/intermediate/dense/kernel"
    with pytest.raises(StartError, match=rf"{name} has shape \[48, 95\], but expected is \[48, 96\]"):
        prepare(google_folder(changed={name: np.zeros((48, 95), np.float32)}))


@pytest.mark.tensorflow
def test_unknown_variable_of_the_encoder(google_folder: Folder) -> None:
    name = "bert/encoder/layer_0/adapter/kernel"
    with pytest.raises(StartError, match=f"variable {name} has no place"):
        prepare(google_folder(changed={name: np.zeros(3, np.float32)}))


@pytest.mark.tensorflow
def test_layers_that_the_config_does_not_know(google_folder: Folder) -> None:
    with pytest.raises(StartError, match=r"variable bert/encoder/layer_3/.* has no place"):
        prepare(google_folder(num_hidden_layers=3))


@pytest.mark.tensorflow
def test_leftovers_of_training_are_fine(google_folder: Folder) -> None:
    slots = [
        "global_step",
        "cls/predictions/output_bias",
        "bert/encoder/layer_0/output/dense/kernel/adam_v",
        "loss_scale",
    ]
    assert prepare(google_folder(changed={name: np.zeros(3, np.float32) for name in slots}))


@pytest.mark.tensorflow
def test_head_of_another_size(tmp_path: Path) -> None:
    with pytest.raises(
        StartError, match=r"output_weights has shape \[3, 48\], but expected is \[2, 48\].*-num_labels 3"
    ):
        prepare(copy_tiny(tmp_path), pooling_strategy="CLASSIFICATION")


@pytest.mark.tensorflow
def test_no_head(google_folder: Folder) -> None:
    with pytest.raises(StartError, match=r"no variable output_weights.*need a fine-tuned checkpoint"):
        prepare(google_folder(without="output_weights"), pooling_strategy="CLASSIFICATION", num_labels=3)


@pytest.mark.tensorflow
@pytest.mark.parametrize("file", ["bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"])
def test_broken_checkpoint(file: str, tmp_path: Path) -> None:
    folder = copy_tiny(tmp_path)
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(StartError, match=r"bert_model\.ckpt is a broken checkpoint"):
        prepare(folder)


@pytest.mark.tensorflow
@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5])
def test_broken_safetensors(keep: float, torch_folder: Folder) -> None:
    folder = torch_folder()
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(StartError, match=r"model\.safetensors is a broken safetensors file"):
        prepare(folder)


@pytest.mark.tensorflow
def test_safetensors_with_a_missing_and_an_unknown_variable(torch_folder: Folder, torch_weights: Weights) -> None:
    name = "encoder.layer.0.attention.self.key.weight"
    with pytest.raises(StartError, match=f"has no variable {name}"):
        prepare(torch_folder({key: value for key, value in torch_weights.items() if key != name}))
    with pytest.raises(StartError, match=r"encoder\.layer\.0\.extra has no place"):
        prepare(torch_folder({**torch_weights, "bert.encoder.layer.0.extra": np.zeros(2, np.float32)}))


@pytest.mark.tensorflow
def test_quantized_safetensors(torch_folder: Folder, torch_weights: Weights) -> None:
    name = "encoder.layer.0.output.dense.weight"
    with pytest.raises(StartError, match=f"{name} is stored as I8"):
        prepare(torch_folder({**torch_weights, name: torch_weights[name].astype(np.int8)}))

"""The tiny models of `tests/golden/architectures`: their folders, and what `transformers` makes of texts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from bert_serving.server.config import ServerConfig
from bert_serving.server.engine.architectures.base import EncoderShape
from bert_serving.server.engine.architectures.bert import BERT
from bert_serving.server.engine.contract import Row
from bert_serving.server.engine.features import FeatureMaker
from bert_serving.server.engine.model_folder import ModelFolder, WeightFormat
from bert_serving.server.engine.tokenization import TextTokenizer, load_tokenizer

ARCHITECTURES = Path(__file__).parents[1] / "golden" / "architectures"
CASES = json.loads((ARCHITECTURES / "cases.json").read_text("utf-8"))
_LOADED: dict[str, TextTokenizer] = {}
MODELS = [folder.name for folder in sorted(ARCHITECTURES.iterdir()) if folder.is_dir()]


def model_of(folder: Path, **values: Any) -> ModelFolder:
    """A folder as if it were a BERT of its own sizes, for its tokenizer; `values` go before its config."""
    config = {**json.loads((folder / "config.json").read_text("utf-8")), **values}
    shape = EncoderShape(48, 1, 4, 48, config["vocab_size"], 512, 2, "gelu", 1e-12)
    return ModelFolder(folder, folder, WeightFormat.HUGGING_FACE, (), BERT, shape)


def tokenizer_of(folder: Path, **options: Any) -> TextTokenizer:
    """The tokenizer of a folder under these options."""
    return load_tokenizer(ServerConfig.from_mapping({"model_dir": str(folder), **options}), model_of(folder))


def copy_of(name: str, folder: Path, **files: Any) -> Path:
    """A tiny model's folder, with `tokenizer_config={..}` and the like in place of its own; None takes a file away."""
    shutil.copytree(ARCHITECTURES / name, folder, ignore=shutil.ignore_patterns("*.safetensors"), dirs_exist_ok=True)
    for file, content in files.items():
        path = folder / f"{file}.json"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(json.dumps(content), "utf-8")
    return folder


def content_of(name: str, file: str = "tokenizer") -> Any:
    return json.loads((ARCHITECTURES / name / f"{file}.json").read_text("utf-8"))


def tiny(name: str) -> TextTokenizer:
    """That of a tiny model, read once."""
    return _LOADED.setdefault(name, tokenizer_of(ARCHITECTURES / name))


def row_of(tokenizer: TextTokenizer, text: Any, limit: int = 64, **options: Any) -> Row:
    """The row of a text, which must have one."""
    (row,) = FeatureMaker(tokenizer, limit, **options).rows([text])
    assert isinstance(row, Row), row
    return row

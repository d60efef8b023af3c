"""ONNX Runtime in process, float32, the graph fused by its own transformer optimizer.

python -m compare.peer_onnxruntime --export MODEL_FOLDER MODEL.onnx    write that file first
python -m compare.peer_onnxruntime TOKENIZER TEXTS MODEL.onnx          serve; see `peer`
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from compare.peer import Array, run
from compare.protocol import pin


def export(folder: Path, file: str) -> None:
    """Write and fuse the graph, and print a note if the optimizer left some of it as it was.

    A process of its own: PyTorch's threads must not stand beside the runtime's.
    """
    torch: Any = importlib.import_module("torch")
    optimizer: Any = importlib.import_module("onnxruntime.transformers.optimizer")
    transformers: Any = importlib.import_module("transformers")
    # "eager" spells the attention out, which is what the optimizer looks for
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()

    class Hidden(torch.nn.Module):  # type: ignore[misc]
        """The last layer alone."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask)[0]

    example = torch.ones(2, 8, dtype=torch.long)
    axes = {name: {0: "rows", 1: "tokens"} for name in ("input_ids", "attention_mask", "hidden")}
    torch.onnx.export(
        Hidden(), (example, example), file, input_names=["input_ids", "attention_mask"], output_names=["hidden"],
        dynamic_axes=axes, dynamo=False, opset_version=17,
    )  # fmt: skip
    size = {"num_heads": model.config.num_attention_heads, "hidden_size": model.config.hidden_size}
    fused = optimizer.optimize_model(file, model_type="bert", **size)
    fused.save_model_to_file(file)
    attentions, layers = fused.get_fused_operator_statistics()["Attention"], model.config.num_hidden_layers
    if attentions < layers:
        print(f"ONNX Runtime's optimizer fused the attention of {attentions} layers out of {layers}")


def main() -> None:
    tokenizer, texts, file = sys.argv[1:]
    if tokenizer == "--export":
        export(Path(texts), file)
        return
    threads = pin()
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def forward(ids: Array, mask: Array) -> Array:
        result: Array = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return result

    run({"float32": forward}, tokenizer, texts)


if __name__ == "__main__":
    main()

"""PyTorch with Hugging Face transformers, in process: peer_torch TOKENIZER TEXTS MODEL_FOLDER KIND,..

`bfloat16` has its weights turned once, `autocast` turns what it multiplies, which keeps more of the numbers.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from compare.peer import Array, Forward, run
from compare.protocol import pin


def forward_of(kind: str, torch: Any, folder: Path) -> Forward:
    """The model computing in that type."""
    model = importlib.import_module("transformers").AutoModel.from_pretrained(folder).eval()
    if kind == "bfloat16":
        model = model.to(torch.bfloat16)

    def forward(ids: Array, mask: Array) -> Array:
        use = torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast")
        with torch.inference_mode(), use:
            layer = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))[0]
            result: Array = layer.float().numpy()
        return result

    return forward


def main() -> None:
    tokenizer, texts, folder, kinds = sys.argv[1:]
    threads = pin()
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(threads)
    forwards = {kind: forward_of(kind, torch, Path(folder)) for kind in kinds.split(",")}
    run(forwards, tokenizer, texts)


if __name__ == "__main__":
    main()

"""PyTorch with its fused attention, for `make gpu`: `python -m gpu.by_torch FOLDER [--rehearse]`.

It computes means over all tokens, as the engine does beside it. Says nothing where PyTorch or its GPU is missing.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from gpu.timing import Ids, measure


def main() -> None:
    folder, rehearses = sys.argv[1], "--rehearse" in sys.argv[2:]
    try:
        torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
    except ImportError as error:
        sys.exit(f"PyTorch is not measured: {error}")
    if not torch.cuda.is_available() and not rehearses:
        sys.exit("PyTorch is not measured: it sees no GPU; install its CUDA build")
    device, dtype = ("cpu", torch.float32) if rehearses else ("cuda", torch.bfloat16)
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="sdpa").to(device, dtype).eval()

    def run(ids: Ids) -> object:
        with torch.inference_mode():
            return model(input_ids=torch.from_numpy(ids).long().to(device))[0].float().mean(1).cpu().numpy()

    measure(run, folder)


if __name__ == "__main__":
    main()

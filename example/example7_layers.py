"""Look at the layers of BERT: a picture for each pooling strategy, with a panel for each layer.

    python example/example7_layers.py -model_dir /models/uncased_L-12_H-768_A-12

You need no server: the script starts one for each strategy, and takes the options of `bert-serving-start`. A server
puts all layers side by side into one vector, and the script splits it into layers again. Each panel has a dot for every
headline, along the two directions in which the layer's vectors differ most (PCA).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from headlines import read_headlines
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bert_serving.client import BertClient
from bert_serving.server import BertServer
from bert_serving.server.helper import get_args_parser

STRATEGIES = ("REDUCE_MEAN", "REDUCE_MAX", "CLS_TOKEN")
LOOKS = (("#0072B2", "o"), ("#E69F00", "s"), ("#009E73", "^"), ("#CC79A7", "D"))
"""Colours of Okabe and Ito, which colour-blind people can tell apart, and markers for black-and-white prints."""
PANEL_INCHES, DOTS_PER_INCH = 3.5, 100


def read_arguments(*more: str) -> argparse.Namespace:
    """The command line, with the options of `bert-serving-start` and this script's own, and `more` of the former."""
    parser = get_args_parser()
    parser.prog, parser.description, parser.epilog = Path(__file__).name, __doc__, None
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("-output", "--output", type=Path, default=Path(), help="folder for the pictures (default: .)")
    return parser.parse_args([*sys.argv[1:], *more])


def num_layers_of(model_dir: Path) -> int:
    """The number of layers in Google's or Hugging Face's config of the model."""
    google = model_dir / "bert_config.json"
    config = google if google.exists() else model_dir / "config.json"
    return int(json.loads(config.read_text("utf-8"))["num_hidden_layers"])


def encode_in_layers(texts: list[str], strategy: str, num_layers: int) -> list[Any]:
    """The vectors of the texts in each layer, from the first layer to the last."""
    from_the_last = [str(-number) for number in range(num_layers, 0, -1)]
    as_pooled = ["-no_normalize", "-pooling_strategy", strategy, "-pooling_layer", *from_the_last]
    args = read_arguments("-host", "127.0.0.1", *as_pooled)
    with BertServer(args), BertClient(port=args.port, port_out=args.port_out) as bc:
        return np.split(bc.encode(texts), num_layers, axis=1)


def in_two_dimensions(vectors: Any) -> tuple[Any, float]:
    """Points `[B, 2]` along the two directions in which the vectors differ most, and their share of the variance."""
    left, scales, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    return left[:, :2] * scales[:2], (scales[:2] ** 2).sum() / (scales**2).sum()


def draw(layers: list[Any], labels: list[str], title: str, path: Path) -> None:
    """Draw one picture with a panel for each layer."""
    num_columns = math.ceil(math.sqrt(len(layers)))
    num_rows = math.ceil(len(layers) / num_columns)
    size = PANEL_INCHES * num_columns, PANEL_INCHES * num_rows + 1  # an inch for title and legend
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    figure.suptitle(title, fontsize=16)
    for number, layer in enumerate(layers, 1):
        panel = figure.add_subplot(num_rows, num_columns, number)
        points, share = in_two_dimensions(layer)
        for label, (colour, marker) in zip(dict.fromkeys(labels), LOOKS, strict=True):
            x, y = points[np.array(labels) == label].T
            panel.scatter(x, y, s=20, c=colour, marker=marker, alpha=0.8, linewidths=0, label=label)
        panel.set_title(f"layer {number} ({share:.0%} of the variance)", fontsize=11)
        panel.set(xticks=[], yticks=[])
    legend = figure.axes[0].get_legend_handles_labels()
    figure.legend(*legend, loc="outside lower center", ncols=len(LOOKS), fontsize=12, markerscale=1.5)
    figure.savefig(path)


def main() -> None:
    args = read_arguments()
    headlines, labels = read_headlines()
    num_layers = num_layers_of(Path(args.model_dir))
    args.output.mkdir(parents=True, exist_ok=True)
    for strategy in STRATEGIES:
        layers = encode_in_layers(headlines, strategy, num_layers)
        path = args.output / f"layers_{strategy}.png"
        draw(layers, labels, f"{len(headlines)} headlines in {num_layers} layers of BERT, {strategy}", path)
        print(f"{path}: {num_layers} layers of {layers[0].shape} vectors")


if __name__ == "__main__":
    main()

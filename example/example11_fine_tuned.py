r"""A fine-tuned classifier: texts go in, probabilities of classes come out.

    bert-serving-start -model_dir /models/uncased_L-12_H-768_A-12 -tuned_model_dir /models/tuned \
        -ckpt_name model.ckpt-343 -pooling_strategy CLASSIFICATION -num_labels 2
    python example/example11_fine_tuned.py "what a film" "never again"

Config and vocabulary come from `-model_dir`. All weights come from your training's checkpoint in `-tuned_model_dir`,
such as one that Google's `run_classifier.py` wrote. Class i is row i of its `output_weights`: the order of the labels
in the training. `-labels negative positive` gives the classes names.
"""

from __future__ import annotations

from arguments import get_parser, server_of

from bert_serving.client import BertClient

TEXTS = ["what a film", "two hours that I will not get back", "the cast is good, the story is not"]


def main() -> None:
    parser = get_parser(__doc__)
    parser.add_argument("texts", nargs="*", default=TEXTS, help="texts to classify")
    parser.add_argument("-labels", "--labels", nargs="+", help="names of the classes (default: their numbers)")
    args = parser.parse_args()
    with BertClient(**server_of(args)) as bc:
        probabilities = bc.encode(args.texts)  # (number of texts, number of classes)
    labels = args.labels or [f"class {index}" for index in range(probabilities.shape[1])]
    for text, row in zip(args.texts, probabilities, strict=True):
        shares = ", ".join(f"{label} {share:.3f}" for label, share in zip(labels, row, strict=True))
        print(f"{labels[row.argmax()]}: {text!r} ({shares})")


if __name__ == "__main__":
    main()

"""Golden cases through bert-serving-client 1.10.0 as published: legacy_cases.py PORT PORT_OUT FOLDER CASE ...

Runs in an environment of its own with that package. Ends in an exception if tokens or vectors differ.
"""

from __future__ import annotations

import json
import sys
import warnings

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a package from 2019
    from bert_serving.client import BertClient, __version__


def main() -> None:
    port, port_out, folder, *names = sys.argv[1:]
    assert __version__ == "1.10.0", __version__
    with open(f"{folder}/cases.json") as stream:
        golden = json.load(stream)
    vectors = np.load(f"{folder}/vectors.npz")
    cases = [case for case in golden["cases"] if case["name"] in names]
    assert len(cases) == len(names)
    with BertClient(port=int(port), port_out=int(port_out)) as client:
        for case in cases:
            texts = golden["texts"][case["texts"]]
            found, tokens = client.encode(texts, is_tokenized=case["is_tokenized"], show_tokens=True)
            assert tokens == case["tokens"], case["name"]
            np.testing.assert_allclose(found, vectors[case["name"]], atol=1e-5, rtol=0, err_msg=case["name"])
    print(f"{len(cases)} cases are right")


if __name__ == "__main__":
    main()

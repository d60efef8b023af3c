"""What users of bert-serving-client 1.10.0 do, by that client itself: legacy_client.py SCENARIO PORT PORT_OUT FOLDER

Runs in a virtual environment of its own, with that package as published. FOLDER holds the golden cases. A scenario
that does not work ends in an exception.
"""

import json
import sys
import threading
import warnings

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a package from 2019
    import bert_serving.client
    from bert_serving.client import BertClient, ConcurrentBertClient

PORTS = {"port": int(sys.argv[2]), "port_out": int(sys.argv[3])}
with open(sys.argv[4] + "/cases.json") as stream:
    CASES = json.load(stream)
VECTORS = np.load(sys.argv[4] + "/vectors.npz")
TEXTS = CASES["texts"]


def close(got, case):
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, VECTORS[case], atol=1e-5, rtol=0)


def plain():
    with BertClient(**PORTS) as client:
        close(client.encode(TEXTS["plain"]), "case_00")
        close(client.encode(TEXTS["pairs"]), "case_02")


def tokenized():
    with BertClient(**PORTS) as client:
        close(client.encode(TEXTS["tokenized"], is_tokenized=True), "case_03")


def tokens():
    with BertClient(**PORTS) as client:
        vectors, shown = client.encode(TEXTS["plain"], show_tokens=True)
        close(vectors, "case_00")
        assert shown == CASES["cases"][0]["tokens"]


def as_lists():
    with BertClient(output_fmt="list", **PORTS) as client:
        close(np.array(client.encode(TEXTS["plain"]), np.float32), "case_00")


def fetch():
    with BertClient(**PORTS) as client:
        for size in range(1, 6):
            client.encode(TEXTS["plain"][:size], blocking=False)
        arrived = {len(response.embedding): response.embedding for response in client.fetch()}
        assert sorted(arrived) == [1, 2, 3, 4, 5]
        np.testing.assert_allclose(arrived[5], VECTORS["case_00"][:5], atol=1e-5, rtol=0)


def fetch_all():
    with BertClient(**PORTS) as client:
        for size in (3, 1, 2):
            client.encode(TEXTS["plain"][:size], blocking=False)
        assert [len(vectors) for vectors in client.fetch_all()] == [3, 1, 2]
        client.encode(TEXTS["plain"][:9], blocking=False)
        client.encode(TEXTS["plain"][9:], blocking=False)
        close(client.fetch_all(concat=True), "case_00")


def encode_async():
    with BertClient(**PORTS) as client:
        batches = (TEXTS["plain"][:size] for size in range(1, 8))
        sizes = [len(response.embedding) for response in client.encode_async(batches, max_num_batch=7)]
        assert sorted(sizes) == list(range(1, 8))


def clones():
    with BertClient(**PORTS) as client, BertClient(identity=client.identity, **PORTS) as clone:
        close(client.encode(TEXTS["plain"]), "case_00")
        while True:  # the client's config and status come to the clone too
            frames = clone.receiver.recv_multipart()
            if len(frames) == 4:
                break
        header = json.loads(frames[1])
        close(np.frombuffer(frames[2], header["dtype"]).reshape(header["shape"]), "case_00")


def config_and_status():
    with BertClient(show_server_config=True, **PORTS) as client:
        assert client.server_config["server_version"] == bert_serving.client.__version__ == "1.10.0"
        client.encode(TEXTS["plain"])
        status = client.server_status
        assert status["statistic"]["num_data_request"] >= 1
        for field in ("pooling_strategy", "num_worker", "ventilator -> worker", "tensorflow_version", "num_process"):
            assert field in status, field
        assert client.status["num_pending_request"] == 0


def concurrent():
    with ConcurrentBertClient(max_concurrency=4, **PORTS) as client:
        threads = [threading.Thread(target=lambda: close(client.encode(TEXTS["plain"]), "case_00")) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]


def wrong_text_raises():
    """An error reply has no dtype: a 1.10 client raises instead of waiting for ever."""
    with BertClient(timeout=20000, **PORTS) as client:
        try:
            client.encode(["\ud800"])
        except Exception:
            pass
        else:
            raise AssertionError("no exception")
        close(client.encode(TEXTS["plain"]), "case_00")


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    print("ok")

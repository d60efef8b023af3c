"""The table of models: what the command line and the file say, and what is refused by name."""

from __future__ import annotations

from codecs import BOM_UTF8
from pathlib import Path

import pytest

from bert_serving.client.endpoints import Endpoint
from bert_serving.server.errors import ConfigError
from bert_serving.server.gateway.model_table import Place, models_of_arguments, models_of_file

FILE = Path("/etc/bert/models.toml")


def test_the_command_line() -> None:
    assert models_of_arguments(["mini=localhost:5555:5556", "rerank=gpu-2:7:8", "mini=[::1]:1:2", "a=b/c=host"]) == {
        "mini": [Place(Endpoint("localhost", 5555, 5556)), Place(Endpoint("::1", 1, 2))],
        "rerank": [Place(Endpoint("gpu-2", 7, 8))],
        "a=b/c": [Place(Endpoint("host", 5555, 5556))],
    }
    assert models_of_arguments(["mini=localhost"], "keys")["mini"][0].curve == "keys"


def test_the_file() -> None:
    content = b"""
        [mini]
        [[mini.endpoints]]
        address = "localhost:5555:5556"
        weight = 0
        [[mini.endpoints]]
        address = "gpu-1:5555:5556"
        weight = 2.5
        curve = "keys/gateway"
        expect_fingerprint = "ab12"
        ["org/rerank"]
        endpoints = [{address = "gpu-2", curve = "/keys"}]
    """
    expected = {
        "mini": [
            Place(Endpoint("localhost", 5555, 5556), 0),
            Place(Endpoint("gpu-1", 5555, 5556), 2.5, "/etc/bert/keys/gateway", "ab12"),
        ],
        "org/rerank": [Place(Endpoint("gpu-2", 5555, 5556), 1, "/keys")],
    }
    assert models_of_file(content, FILE) == expected
    assert models_of_file(BOM_UTF8 + content, FILE) == expected


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ([], "-model names no model"),
        (["mini"], "-model must be NAME=HOST:PORT:PORT_OUT, such as mini=localhost:5555:5556, not 'mini'"),
        (["=localhost"], "-model: the name of a model must be a name of printable characters, not ''"),
        (["a\0b=localhost"], "-model: the name of a model must be"),
        (["mini="], "-model mini=: a server must be HOST or HOST:PORT:PORT_OUT, not ''"),
        (["mini=host:5555"], "-model mini=host:5555: a server must be HOST or HOST:PORT:PORT_OUT, not 'host:5555'"),
        (["mini=host:5555:70000"], "-model mini=host:5555:70000: port_out must be between 1 and 65535, not 70000"),
        (["mini=::1"], "in a list of servers, write an IPv6 address in brackets"),
        (["mini=a:1:2", "mini=a:1:2"], "-model: mini has a:1:2 twice"),
    ],
)
def test_what_the_command_line_may_not_say(texts: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        models_of_arguments(texts)
    assert says in str(caught.value)


def endpoint(about: str) -> str:
    return f"[mini]\n[[mini.endpoints]]\n{about}"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "names no model"),
        ("[mini", "(-models): it is no TOML: "),
        ("\udcff", "(-models): it is not UTF-8 at line 1"),
        ("a = " + "[" * 5000, "(-models): it is no"),
        ("mini = 1", '[mini] needs [[mini.endpoints]] with address = "HOST:PORT:PORT_OUT"'),
        ("[mini]\nendpoints = 7", "[mini] needs [[mini.endpoints]]"),
        ("[mini]\nendpoints = []", "no endpoint of mini has a weight above 0"),
        ("[mini]\nendpoints = [7]", "[mini] endpoint 0 must be a table with an address, not 7"),
        ("[mini]\nweight = 1\nendpoints = []", "[mini] has 'weight', and may have endpoints"),
        (endpoint("wieght = 1"), "endpoint 0 has 'wieght', and may have address, weight, curve, expect_fingerprint"),
        (endpoint("weight = 1"), "endpoint 0 has no address"),
        (endpoint("address = 5555"), "address must be a text that is not empty, not 5555"),
        (endpoint('address = ""'), "address must be a text that is not empty"),
        (endpoint('address = "a:b"'), "a server must be HOST or HOST:PORT:PORT_OUT, not 'a:b'"),
        (endpoint('address = "a"\nweight = -1'), "weight must be a number from 0 to 1000000, not -1"),
        (endpoint('address = "a"\nweight = nan'), "weight must be a number"),
        (endpoint('address = "a"\nweight = inf'), "weight must be a number"),
        (endpoint('address = "a"\nweight = true'), "weight must be a number"),
        (endpoint('address = "a"\nweight = "1"'), "weight must be a number"),
        (endpoint('address = "a"\nweight = 0'), "no endpoint of mini has a weight above 0"),
        (endpoint('address = "a"\ncurve = ""'), "curve must be a text that is not empty"),
        (endpoint('address = "a"\nexpect_fingerprint = 12'), "expect_fingerprint must be a text"),
        (endpoint('address = "a"\n[[mini.endpoints]]\naddress = "a:5555:5556"'), "mini has a:5555:5556 twice"),
        ('[" "]\nendpoints = [{address = "a"}]', "the name of a model must be a name of printable characters"),
    ],
)
def test_what_the_file_may_not_say(content: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        models_of_file(content.encode(errors="surrogateescape"), FILE)
    assert says in str(caught.value)
    assert str(FILE) in str(caught.value)


def test_a_service_is_the_same_with_another_weight() -> None:
    place = Place(Endpoint("a", 1, 2), 3, "keys", "ab")
    assert place.unweighted == Place(Endpoint("a", 1, 2), 5, "keys", "ab").unweighted
    assert place.unweighted != Place(Endpoint("a", 1, 2), 3, "keys", "cd").unweighted

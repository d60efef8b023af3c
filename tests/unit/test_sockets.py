"""What sockets know of addresses."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import psutil
import pytest

from bert_serving.server.transport import sockets


def test_every_address_of_this_machine_is() -> None:
    own = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6)
    ]
    assert own
    for address in [*own, "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"]:
        assert sockets.is_this_machine(address), address


@pytest.mark.parametrize(
    "address",
    ["192.0.2.1", "8.8.8.8", "2001:db8::1", "::ffff:192.0.2.1", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "",
     "localhost", "x", "127.0.0.1:5555", "1", "\0", "\ud800", "fe80::1%none"],
)  # fmt: skip
def test_no_other_is(address: str) -> None:
    assert not sockets.is_this_machine(address)


def test_what_can_be_bound_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the kernel lets any address be bound."""
    sockets._is_own.cache_clear()
    monkeypatch.setattr(socket.socket, "bind", lambda sock, address: None)
    assert not sockets.is_this_machine("192.0.2.1")


def test_an_address_that_moves_away_is_soon_a_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "ip_address", lambda address: ip_address("127.0.0.1"))
    assert sockets._is_own("192.0.2.77", 1.0)
    monkeypatch.setattr(sockets, "ip_address", ip_address)
    assert sockets._is_own("192.0.2.77", 1.0), "it is remembered"
    assert not sockets._is_own("192.0.2.77", 2.0)

"""The state of one connection, as its socket monitor reports it, and the error message if it fails. Pure.

The order of libzmq's events tells the cases apart (libzmq 4.3):

    refused            CONNECT_DELAYED, CLOSED, CONNECT_RETRIED, and so on
    no such host       CONNECT_RETRIED without a CONNECT_DELAYED before it
    no TCP answer      CONNECT_DELAYED and then nothing
    no ZeroMQ peer     CONNECTED and then nothing, or HANDSHAKE_FAILED_NO_DETAIL where it hangs up
    wrong socket type  CONNECTED, DISCONNECTED and no CONNECT_RETRIED: libzmq gives up on the peer;
                       or HANDSHAKE_FAILED_NO_DETAIL where the peer gives up on us first
    keys on one side   CONNECTED, HANDSHAKE_FAILED_PROTOCOL with the value for mechanisms that differ
    key not known      CONNECTED, HANDSHAKE_FAILED_AUTH; where the server's key is another, as no ZeroMQ peer
    working            CONNECTED, HANDSHAKE_SUCCEEDED
    server gone        DISCONNECTED, CONNECT_RETRIED
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf

from zmq import PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH, Event

from bert_serving.client.endpoints import in_url, is_address

RECONNECT_GIVEN_UP_S = 1.0
"""libzmq never comes back to a peer of the wrong kind; after this long the loop does."""

OTHER_FAMILY_S = 0.1
"""A name may have IPv4 and IPv6 addresses, and libzmq tries only those of one kind. The other kind is tried when
that fails, but not more often than this."""


class LinkState(Enum):
    """How far a connection has come, or how it failed last."""

    NO_ANSWER = auto()
    UNKNOWN_HOST = auto()
    REFUSED = auto()
    NO_HANDSHAKE = auto()
    HANGS_UP = auto()
    WRONG_PEER = auto()
    KEYS_DIFFER = auto()
    KEY_REFUSED = auto()
    UP = auto()
    LOST = auto()


_EXPLANATIONS = {
    LinkState.UNKNOWN_HOST: "the host name of {where} cannot be resolved",
    LinkState.REFUSED: "nothing listens on {where}: is the server running, and are the ports right?",
    LinkState.NO_ANSWER: "no answer at all from {where}: a wrong address, a host that is down, or a firewall",
    LinkState.NO_HANDSHAKE: "{where} takes connections but does not answer as ZeroMQ: "
    "another kind of server, or a suspended one",
    LinkState.HANGS_UP: "{where} takes connections and closes them at once: "
    "another kind of server, a port mapping without a server behind it, or port and port_out swapped",
    LinkState.WRONG_PEER: "{where} is not the kind of socket that belongs there: are port and port_out right?",
    LinkState.KEYS_DIFFER: "only one of {where} and this client uses keys: see the client's argument curve and "
    "the server's -curve_dir",
    LinkState.KEY_REFUSED: "{where} refuses the key of this client: it was revoked, or another server made it",
    LinkState.LOST: "the connection to {where} was lost and did not come back: has the server stopped?",
}


_WRONG = frozenset({LinkState.WRONG_PEER, LinkState.KEYS_DIFFER, LinkState.KEY_REFUSED})


class Link:
    """Follows one socket. `name` is the argument that its port comes from: port or port_out.

    `is_ipv6` says which addresses of the host are to be tried next, `restart_at_s` when the socket is to be told so.
    """

    def __init__(self, host: str, port: int, name: str, *, has_keys: bool = False) -> None:
        self.endpoint = f"tcp://{in_url(host)}:{port}"
        self.where = f"{in_url(host)}:{port} ({name})"
        self.state = LinkState.NO_ANSWER
        self.is_ipv6 = ":" in host
        self.given_up_at_s: float | None = None  # libzmq tries no further since then
        self.restart_at_s: float | None = None
        self._is_name = not is_address(host) and ":" not in host  # an address with its zone is no address for Python
        self._tried_at_s = -inf  # since when that family is tried
        self._resolved = {False: False, True: False}  # whether the name has addresses of IPv6
        self.losses = 0  # how often a working connection was lost
        self._has_keys = has_keys
        self._is_trying = False
        self._has_hung_up = False

    @property
    def is_up(self) -> bool:
        return self.state is LinkState.UP

    @property
    def is_wrong_peer(self) -> bool:
        return self.state in _WRONG

    @property
    def explanation(self) -> str:
        """What is wrong, with `{where}` for the place."""
        text = _EXPLANATIONS[self.state]
        if self._has_keys and self.state is LinkState.HANGS_UP:
            text += "; or its key differs from the one in the client's folder of keys"
        return text

    def observe(self, event: int, value: int, now_s: float) -> None:
        """Take in one monitor event with its value."""
        if event == Event.CONNECT_DELAYED:
            self._is_trying = True
            if self.state is LinkState.UNKNOWN_HOST:
                self.state = LinkState.NO_ANSWER
        elif event == Event.CONNECT_RETRIED:
            self._retried(now_s)
        elif event == Event.CLOSED:
            self._is_trying = True  # of a network that cannot be reached nothing else is told
            self.state = LinkState.REFUSED
        elif event == Event.CONNECTED:
            self._connected()
        elif event == Event.HANDSHAKE_SUCCEEDED:
            self.state = LinkState.UP
        elif event == Event.HANDSHAKE_FAILED_NO_DETAIL:
            self._hung_up()
        elif event == Event.HANDSHAKE_FAILED_AUTH:
            self.state = LinkState.KEY_REFUSED
        elif event == Event.HANDSHAKE_FAILED_PROTOCOL:
            differ = value == PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
            self.state = LinkState.KEYS_DIFFER if differ else LinkState.WRONG_PEER
        elif event == Event.DISCONNECTED:
            self._disconnected(now_s)

    def restarted(self) -> None:
        """The socket was told to connect again."""
        self.given_up_at_s = self.restart_at_s = None

    def _retried(self, now_s: float) -> None:
        """An attempt has failed, or a connection was lost, and libzmq waits for a moment."""
        self.restarted()
        self._resolved[self.is_ipv6] = self._is_trying
        if not self._resolved[False] and not self._resolved[True]:
            self.state = LinkState.UNKNOWN_HOST
        has_failed = self.state is LinkState.REFUSED or not self._is_trying
        if self._is_name and has_failed and now_s >= self._tried_at_s + OTHER_FAMILY_S:
            self.is_ipv6 = not self.is_ipv6
            self._tried_at_s = self.restart_at_s = now_s
        self._is_trying = False

    def _connected(self) -> None:
        self._is_trying, self._has_hung_up = True, False
        if self.state is not LinkState.HANGS_UP and not self.is_wrong_peer:  # until something better is known
            self.state = LinkState.NO_HANDSHAKE

    def _hung_up(self) -> None:
        self._has_hung_up = True
        if not self.is_wrong_peer:
            self.state = LinkState.HANGS_UP

    def _disconnected(self, now_s: float) -> None:
        if self.state is LinkState.UP:
            self.state = LinkState.LOST
            self.losses += 1
        elif not self._has_hung_up and not self.is_wrong_peer:
            self.state = LinkState.WRONG_PEER
        self.given_up_at_s, self.restart_at_s = now_s, now_s + RECONNECT_GIVEN_UP_S


def explain(requests: Link, replies: Link, is_loading: bool = False) -> str:
    """One sentence that says why the server behind these two links cannot be used."""
    if is_loading:
        return f"the server at {requests.where} is still loading: try again later, or raise connect_timeout"
    broken = [link for link in (requests, replies) if not link.is_up]
    if not broken:
        return (
            f"connected to {requests.where} and {replies.where}, but no answer came: another kind of ZeroMQ server, "
            "two ports of different servers, or a server that hangs or has not finished loading"
        )
    states = {link.state for link in broken}
    if len(broken) == 2 and LinkState.WRONG_PEER in states and states <= {LinkState.WRONG_PEER, LinkState.HANGS_UP}:
        return f"port and port_out look swapped: {requests.where} sends replies and {replies.where} takes requests"
    alike = [link for link in broken if link.state is broken[0].state]
    return broken[0].explanation.format(where=" and ".join(link.where for link in alike))

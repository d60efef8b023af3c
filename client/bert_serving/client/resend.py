"""When to resend requests that have no answer. Pure: the loop reports what was sent and received, and sends.

A busy server says when. The other reason is doubt. Requests and answers travel on two connections, and a server
publishes an answer to the subscriptions that it has. While an older one of the same identity is there, of a client that
is just leaving, or of our own connection before a cut of the network, an answer may go to that alone, and only the one
who waits can notice. So what is sent before our subscription is known to be in force is sent again, after a while and
then after twice as long each time. What the server still has it does not compute a second time.

An answer to what was first asked on a connection proves its subscription. Nothing that is sent later is in doubt, so a
server with a long queue is not asked over and over.
"""

from __future__ import annotations

FIRST_WAIT_S = 2.0
BYTES_A_SECOND = 1 << 20
"""What large requests in doubt may take of the network, and of the server's time, at most."""


class Resend:
    """Ids of requests, and when to send them again."""

    def __init__(self) -> None:
        self._due_s: dict[int, float] = {}
        self._wait_s: dict[int, float] = {}  # of those in doubt
        self._last_id_before = 0
        self._is_sure = False

    @property
    def next_s(self) -> float:
        """When the first is due."""
        return min(self._due_s.values(), default=float("inf"))

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be sent again at any time."""
        return not self._due_s

    def connected_anew(self, last_id: int) -> None:
        """Connections were lost and are up again; `last_id` was asked last before that."""
        self._due_s.clear()
        self._wait_s.clear()
        self._last_id_before, self._is_sure = last_id, False

    def sent(self, request_id: int, size: int, now_s: float) -> None:
        """A request of `size` bytes went out, for the first time or again."""
        if not self._is_sure and request_id not in self._wait_s:
            self._wait_s[request_id] = FIRST_WAIT_S + size / BYTES_A_SECOND
            self._due_s[request_id] = now_s + self._wait_s[request_id]

    def heard(self, request_id: int) -> None:
        """A reply to this id came."""
        self._is_sure = self._is_sure or request_id > self._last_id_before

    def put_off(self, request_id: int, due_s: float) -> None:
        """The server is busy: it may be asked then."""
        self._wait_s.pop(request_id, None)
        self._due_s[request_id] = due_s

    def take_due(self, now_s: float) -> list[int]:
        """Those to send now. What is in doubt comes again, until it is forgotten."""
        due = [request_id for request_id, due_s in self._due_s.items() if due_s <= now_s]
        for request_id in due:
            if request_id in self._wait_s:
                self._wait_s[request_id] *= 2
                self._due_s[request_id] = now_s + self._wait_s[request_id]
            else:
                del self._due_s[request_id]
        return due

    def forget(self, request_id: int) -> None:
        """Nobody waits for it any more."""
        self._due_s.pop(request_id, None)
        self._wait_s.pop(request_id, None)

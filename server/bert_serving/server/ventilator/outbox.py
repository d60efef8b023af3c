"""What the ventilator tells the sink until the sink has confirmed it: answers, and jobs that failed. Pure.

A sink may die before it has published an answer; its successor gets all that is not confirmed.
"""

from __future__ import annotations

from collections import deque

from bert_serving.server.message.messages import Answer, Void

Message = Answer | Void


class Outbox:
    """Messages by job, in order."""

    def __init__(self) -> None:
        self._unsent: deque[Message] = deque()
        self._unconfirmed: dict[int, Message] = {}

    def __len__(self) -> int:
        """How many are not confirmed."""
        return len(self._unconfirmed)

    def put(self, message: Message) -> None:
        """There is one more to send."""
        self._unsent.append(message)
        self._unconfirmed[message.job] = message

    def next(self) -> Message | None:
        """What is to be sent next."""
        return self._unsent[0] if self._unsent else None

    def sent(self) -> None:
        """That one is in progress."""
        self._unsent.popleft()

    def confirmed(self, job: int) -> None:
        """The sink has done what it was told about a job."""
        self._unconfirmed.pop(job, None)

    def start_again(self) -> None:
        """There is another sink, which has heard nothing."""
        self._unsent = deque(self._unconfirmed.values())

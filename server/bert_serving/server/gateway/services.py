"""The services behind the gateway, by the name of their model: whom a request goes to, and how they come and go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

from bert_serving.client.errors import quoted
from bert_serving.server.gateway.backend import Backend, Shared
from bert_serving.server.gateway.group import Group, Member
from bert_serving.server.gateway.model_table import Models, Place
from bert_serving.server.gateway.problems import Problem

log = logging.getLogger(__name__)

FAULT_INTERVAL_S = 1.0
"""After this a service is tried again whose client failed."""
JOIN_TIMEOUT_S = 10.0
"""So long a new table waits for its new services, before it counts without them."""
POLL_S = 0.05

Make = Callable[[Place], Backend]


class Services:
    """All of them. `of` finds the one for a request; `move_to` puts others in their place."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.groups: dict[str, Group] = {}
        self.is_draining = False
        """New requests are refused: the end has come."""
        self._running: dict[Member, asyncio.Task[None]] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._next_number: dict[str, int] = {}

    @staticmethod
    def of_one(backend: Backend, name: str) -> Services:
        """The one service of a server's own gateway."""
        services = Services(backend.shared)
        backend.name = name
        services.groups = {name: Group([Member(0, None, backend)], {0: 1})}
        return services

    # -- whom a request goes to --

    def of(self, model: str = "", expect: str | None = None) -> Backend:
        """The backend for one request: of the model of this name, with this fingerprint if one is expected.

        Problem 404 if there is no such model, 422 if it must be named and is not, 409 if it has other fingerprints.
        """
        return self.group(model).take(expect)

    def group(self, model: str = "") -> Group:
        """The services of a model. Problem 404 if there is no such model, 422 if it must be named and is not."""
        if self.takes_any_name:
            return self.first
        if not model:
            raise Problem(422, f"there are several models here: name one as model: {self}", param="model")
        return self.named(model)

    def named(self, model: str) -> Group:
        """The same, but the only model must be called by its own name too."""
        if model not in self.groups:
            text = f"there is no model {quoted(model)} here: there is {self}"
            raise Problem(404, text, param="model", code="model_not_found")
        return self.groups[model]

    @property
    def takes_any_name(self) -> bool:
        """A request may call the only model as it likes."""
        return len(self.groups) == 1

    def __str__(self) -> str:
        return ", ".join(self.groups)

    @property
    def described(self) -> str:
        """Each model with its services, for the log."""
        return "; ".join(f"{name}: {group.described}" for name, group in self.groups.items())

    @property
    def members(self) -> Iterator[tuple[str, Member]]:
        """Each service, with its model's name."""
        return ((name, member) for name, group in self.groups.items() for member in group.members)

    @property
    def trouble(self) -> str | None:
        """Why a model cannot be used; None if all can."""
        found = {name: trouble for name, group in self.groups.items() if (trouble := group.trouble) is not None}
        if self.takes_any_name:
            return next(iter(found.values()), None)
        return "; ".join(f"{name}: {trouble}" for name, trouble in found.items()) or None

    def check_ready(self) -> None:
        """Problem 503 if there is nobody to ask, for whichever model."""
        problems = [member.backend.not_ready for _, member in self.members]
        if None not in problems and problems[0] is not None:
            raise problems[0]

    @property
    def first(self) -> Group:
        """The services of the model that is named first."""
        return next(iter(self.groups.values()))

    @property
    def why_dead(self) -> str | None:
        """Why nobody may hope that this server's own service mends itself; services elsewhere are not its business."""
        return next((member.backend.why_dead for _, member in self.members if member.place is None), None)

    def count_error(self, backend: Backend | None = None) -> None:
        """A request ended with an error, at this backend if one had been found for it. The only backend has all
        errors; of several, each has its own."""
        found = [member.backend for _, member in self.members]
        if backend is None and len(found) == 1:
            found[0].errors += 1
        if backend is not None and len(found) != 1:
            backend.errors += 1

    # -- how they come and go --

    async def run(self) -> None:
        """Run all backends until cancelled."""
        try:
            for name, member in self.members:
                self._start(name, member)
            await asyncio.Event().wait()
        finally:
            tasks = [*self._retiring, *self._running.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def drain(self) -> None:
        """Take no new requests."""
        self.is_draining = True
        for member in {*self._running, *(member for _, member in self.members)}:
            member.backend.is_draining = True

    async def wait_until_idle(self) -> None:
        """Until all requests that were accepted are answered."""
        for member in list(self._running):
            await member.backend.slots.wait_until_idle()

    def begin_with(self, models: Models, make: Make) -> None:
        """The first models, before `run`."""
        self.groups, _ = self._grouped(models, make)

    async def move_to(self, models: Models, make: Make) -> None:
        """Put these models in the place of those there are, as soon as the new services are well, or `JOIN_TIMEOUT_S`
        have passed. Services that stay keep their clients; those that leave finish what they were asked.

        While `run` runs, and once at a time.
        """
        groups, new = self._grouped(models, make)
        for name, member in new:
            self._start(name, member)
        await self._join([member for _, member in new])
        before = dict.fromkeys(member for _, member in self.members)
        self.groups = groups
        for member in before.keys() - {member for _, member in self.members}:
            task = asyncio.create_task(self._retire(member))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _grouped(self, models: Models, make: Make) -> tuple[dict[str, Group], list[tuple[str, Member]]]:
        """The groups of these models, and those members of them that are new, with their names."""
        known = {(name, member.place.unweighted): member for name, member in self.members if member.place}
        groups, new = {}, []
        for name, places in models.items():
            members = []
            for place in places:
                member = known.get((name, place.unweighted))
                if member is None:
                    member = self._made(name, place, make)
                    new.append((name, member))
                members.append(member)
            numbers = (member.number for member in members)
            weights = dict(zip(numbers, (place.weight for place in places), strict=True))
            groups[name] = Group(members, weights)
        return groups, new

    def _made(self, name: str, place: Place, make: Make) -> Member:
        number = self._next_number[name] = self._next_number.get(name, -1) + 1
        member = Member(number, place, make(place))
        member.backend.name = name
        member.backend.is_draining = self.is_draining
        log.info("model %s: endpoint %d is %s", name, number, place.endpoint)
        return member

    def _start(self, name: str, member: Member) -> None:
        self._running[member] = asyncio.create_task(self._keep(name, member))

    async def _keep(self, name: str, member: Member) -> None:
        while True:
            try:
                await member.backend.run()
            except Exception as error:
                if member.backend.fault != str(error):
                    log.error("model %s, endpoint %d: %s", name, member.number, error, exc_info=True)
                member.backend.fault = str(error)
            await asyncio.sleep(FAULT_INTERVAL_S)

    async def _join(self, new: list[Member]) -> None:
        due_s = asyncio.get_running_loop().time() + JOIN_TIMEOUT_S
        while any(member.backend.trouble is not None for member in new):
            if self.is_draining or asyncio.get_running_loop().time() > due_s:
                return
            await asyncio.sleep(POLL_S)

    async def _retire(self, member: Member) -> None:
        """Its own requests end first; one that is chosen for it now would have been chosen before it left."""
        member.backend.is_draining = True
        await member.backend.slots.wait_until_idle()
        task = self._running.pop(member)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

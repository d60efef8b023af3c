"""One attack beside good clients: what it cost them and the service, and whether that is within what is promised."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psutil

from strangers.attack import Attack
from strangers.good_client import GoodClient, Round, same_imports
from strangers.service import VICTIM, Service, is_running, rss

MB = 10**6
MOST_GROWTH_MB = 300
MOST_TIMES = 3.0
SHARE = 0.5
"""Of a core: so much an attacker gets."""
LOOK_S = 0.01
MOST_CREDIT_S = 0.02
OVERTIME_S = 40.0
KILL_AFTER_S = 0.5
LEAST_TIMEOUT_S = 2.0
TIMES_PATIENT = 100.0
SHOWN = 60
"""Characters of an error, in a table."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures of one trial. `growth_mb` is by process, without the message itself; `won` what the attacker says."""

    name: str
    quiet: Round
    attacked: Round
    growth_mb: Mapping[str, float]
    deaths: list[str]
    won: list[str]
    judges_time: bool

    @property
    def times(self) -> float:
        """The p99 under attack over that in quiet."""
        return self.attacked.percentile_ms(99) / self.quiet.percentile_ms(99)

    def harm(self, most_times: float | None = MOST_TIMES) -> list[str]:
        """What should not be, in words; `most_times` None: whatever calls took, if they were answered in time."""
        found = [f"{name} ended" for name in self.deaths]
        found += [f"it won: {words}" for words in self.won]
        found += [
            f"{name} grew by {grown:.0f} MB beyond the message"
            for name, grown in self.growth_mb.items()
            if grown > MOST_GROWTH_MB
        ]
        if self.attacked.wrong:
            found.append(f"{self.attacked.wrong} answers were wrong")
        if self.attacked.failures:
            found.append(f"{len(self.attacked.failures)} calls failed, such as {self.attacked.failures[0][:SHOWN]}")
        if self.judges_time and most_times is not None and self.times > most_times:
            found.append(f"p99 is {self.times:.1f} times that in quiet")
        return found

    def as_json(self) -> dict[str, Any]:
        shown = {name: round(grown, 1) for name, grown in self.growth_mb.items()}
        figures = {
            f"{when}_p{percent}_ms": round(measured.percentile_ms(percent), 3)
            for when, measured in (("quiet", self.quiet), ("attacked", self.attacked))
            for percent in (50, 99, 100)
        }
        counts = {
            "calls": len(self.attacked.seconds),
            "failed": len(self.attacked.failures),
            "wrong": self.attacked.wrong,
        }
        return {
            "attack": self.name,
            **figures,
            **counts,
            "growth_mb": shown,
            "deaths": self.deaths,
            "won": self.won,
            "harm": self.harm(),
        }


class Watch(threading.Thread):
    """Looks at the service's memory and holds the attacker to its share of a core, until told to end."""

    def __init__(self, service: Service, attacker: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._processes = dict(service.processes)
        self._attacker = attacker
        self._over = threading.Event()
        self.peaks = {name: rss(process) for name, process in self._processes.items()}

    def run(self) -> None:
        credit_s, used_s, is_stopped, then_s = MOST_CREDIT_S, self._used_s(), False, time.monotonic()
        while not self._over.wait(LOOK_S):
            for name, process in self._processes.items():
                self.peaks[name] = max(self.peaks[name], rss(process))
            now_s, now_used_s = time.monotonic(), self._used_s()
            credit_s = min(MOST_CREDIT_S, credit_s + (now_s - then_s) * SHARE - (now_used_s - used_s))
            then_s, used_s = now_s, now_used_s
            if (credit_s < 0) != is_stopped:
                is_stopped = not is_stopped
                self._signal(signal.SIGSTOP if is_stopped else signal.SIGCONT)
        if is_stopped:
            self._signal(signal.SIGCONT)

    def _used_s(self) -> float:
        try:
            times = self._attacker.cpu_times()
        except psutil.NoSuchProcess:
            return 0.0
        return float(times.user + times.system)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(psutil.NoSuchProcess):
            self._attacker.send_signal(number)

    def end(self) -> None:
        self._over.set()
        self.join()


class Trials:
    """A service with good clients, in which attacks are tried one after the other; leave the block to end all."""

    def __init__(self, attack: Attack) -> None:
        self.service = Service(attack)
        self._clients: list[GoodClient] = []
        self._ports: dict[str, Any] = {}

    def __enter__(self) -> Trials:
        target = self.service.__enter__().target
        self._ports = {"port": target.port, "port_out": target.port_out, "http_port": target.http_port}
        try:
            for over_http in (False, True):
                self._clients.append(GoodClient(**self._ports, identity=VICTIM, over_http=over_http))
        except BaseException:
            self._close()
            raise
        return self

    def quiet(self, seconds: float, over_http: bool) -> Round:
        """What calls take while nobody attacks."""
        client = self._clients[over_http]
        client.begin(60.0)
        time.sleep(seconds)
        return client.end()

    def run(self, attack: Attack, seconds: float, quiet: Round, after_s: float = 1.0) -> Outcome:
        """The attack for so long, then a while more, in which what it left shows; `quiet` is to compare with."""
        client = self._clients[attack.over_http]
        before = {name: rss(process) for name, process in self.service.processes.items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "strangers.attacker", attack.name, self.service.target.to_json(), str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
            env=same_imports(),
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n", f"the attack {attack.name} did not begin"
        watch = Watch(self.service, psutil.Process(process.pid))
        watch.start()
        client.begin(max(LEAST_TIMEOUT_S, TIMES_PATIENT * quiet.percentile_ms(99) / 1000))
        won = self._let_it_run(attack, process, seconds)
        time.sleep(after_s)
        attacked = client.end()
        watch.end()
        growth = {name: (peak - before[name]) / MB - attack.message_mb for name, peak in watch.peaks.items()}
        return Outcome(attack.name, quiet, attacked, growth, self._deaths(attack), won, attack.judges_time)

    def _let_it_run(self, attack: Attack, process: subprocess.Popen[str], seconds: float) -> list[str]:
        if attack.kills:
            time.sleep(KILL_AFTER_S)
            self.service.processes[attack.kills].kill()
        try:
            said, _ = process.communicate(timeout=seconds + OVERTIME_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return [f"the attacker was held up for {OVERTIME_S:.0f} s more than it wanted"]
        won: list[str] = json.loads(said) if process.returncode == 0 else [f"it failed with {process.returncode}"]
        return won

    def _deaths(self, attack: Attack) -> list[str]:
        gone = [name for name, process in self.service.processes.items() if not is_running(process)]
        return [name for name in gone if name != attack.kills]

    def _close(self) -> None:
        for client in self._clients:
            client.close()
        self.service.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

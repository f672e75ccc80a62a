"""Runs a fault plan on a stack: a thread per lane injects one fault after the other and measures each recovery."""

from __future__ import annotations

import contextlib
import random
import threading
import time

from chaos.containers import recovery
from chaos.containers.active_faults import ActiveFaults
from chaos.containers.container_lookup import COLLECTOR, SERVER, Containers, Target, client_targets
from chaos.containers.faults import create_fault
from chaos.containers.ledger_follower import LedgerFollower
from chaos.containers.log_excerpt import log_lines
from chaos.containers.plan import FaultSequence, Lane, PlannedFault, StackPlan
from chaos.tally import Tally
from tests.integration.stack import Stack
from tests.poll import poll_until

SLOW_SECONDS = 3.0
"""A recovery that takes longer is printed with the containers' log lines of that time."""
RECOVERY_WAIT_SHARE = 0.8
"""Share of faults before which a lane waits for the recovery from earlier faults, so that it can be measured."""
LAST_SECONDS = 15.0
"""Records must still be due for this long after a fault: recovery is seen in receipts for new records."""


class FaultInjector:
    """Injects the faults of a stack's lanes until all are done or ``must_stop`` is set."""

    def __init__(
        self,
        stack: Stack,
        stack_plan: StackPlan,
        seed: int,
        follower: LedgerFollower,
        tally: Tally,
        must_stop: threading.Event,
    ) -> None:
        self.containers, self.active_faults = Containers(stack), ActiveFaults()
        self._stack, self._plan, self._seed, self._follower, self._tally = stack, stack_plan, seed, follower, tally
        clients = client_targets(stack_plan.clients)
        self._locks = {target: threading.Lock() for target in (*clients, COLLECTOR, SERVER)}
        self._must_stop = must_stop
        self._problems: list[Exception] = []
        self._began = time.monotonic()

    def run(self) -> None:
        """Run all lanes to their end.

        Raises:
            Exception: the first exception of any lane.
        """
        self._began = time.monotonic()
        threads = [threading.Thread(target=self._run_lane, args=(lane,), name=lane.name) for lane in self._plan.lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._problems:
            raise self._problems[0]

    def _run_lane(self, lane: Lane) -> None:
        gap_seconds = random.Random(f"{self._seed} {self._plan.name} {lane.name} rest")
        try:
            for sequence in lane.sequences:
                if self._must_stop.wait(gap_seconds.uniform(*lane.gap_seconds)):
                    return
                self._assert_long_enough(sequence)
                if gap_seconds.random() < RECOVERY_WAIT_SHARE:
                    self._let_recover(sequence)
                self._inject_sequence(sequence)
        except Exception as problem:  # noqa: BLE001 - raised where the lanes were started
            problem.add_note(f"in lane {lane.name} of {self._plan.name}, {self._elapsed:.1f} s after its start")
            self._problems.append(problem)
            self._must_stop.set()

    def _assert_long_enough(self, sequence: FaultSequence) -> None:
        left = self._plan.records - self._follower.head(time.time())
        wanted = self._plan.rate * (LAST_SECONDS + sum(fault.seconds for fault in sequence))
        assert left > wanted, f"the run is too short for this machine: {left} records are left before {sequence[0]}"

    def _let_recover(self, sequence: FaultSequence) -> None:
        clients = [target for fault in sequence for target in self._affected_clients(fault) if target in self._locks]
        poll_until(
            lambda: (
                self._must_stop.is_set() or not recovery.any_recovering(self.active_faults, self._follower, clients)
            ),
            f"{sequence[0]} may begin",
            60,
        )

    def _inject_sequence(self, sequence: FaultSequence) -> None:
        with contextlib.ExitStack() as locks:
            # Always in the same order, so that two lanes cannot deadlock.
            for target in sorted({target for fault in sequence for target in fault.targets} & set(self._locks)):
                locks.enter_context(self._locks[target])
            for fault in sequence[:-1]:
                self._measure(*self._inject(fault))
            ended = self._inject(sequence[-1])
        self._measure(*ended)

    def _inject(self, fault: PlannedFault) -> tuple[PlannedFault, float, bool]:
        """Inject a fault, let it last, and end it.

        Returns the fault, when it ended (epoch seconds), and whether other faults overlapped it.
        """
        injected = self.active_faults.begin(fault, time.time())
        injected_fault, ended = create_fault(fault.kind, self.containers, fault.targets), 0.0
        try:
            injected_fault.inject()
            # Ends early when the injector has to stop.
            self._must_stop.wait(fault.seconds)
        finally:
            try:
                ended = injected_fault.heal()
            finally:
                self.active_faults.end(injected, ended or time.time())
        return fault, ended, injected.beside

    def _measure(self, fault: PlannedFault, ended: float, beside: bool) -> None:
        seconds, excerpt = self._recovery(fault, ended)
        target = str(fault.targets[0]) if len(fault.targets) == 1 else "all"
        self._tally.add_fault(fault.kind, f"{self._plan.name} {target}", seconds, beside=beside)
        back = "the next came first" if seconds is None else f"back in {seconds:.2f} s"
        mark = "+" if beside else " "
        print(f"{self._elapsed:6.1f} s  {self._plan.name:8} {mark} {fault}  {back}{excerpt}\n", end="", flush=True)

    def _recovery(self, fault: PlannedFault, ended: float) -> tuple[float | None, str]:
        """Wait for the recovery; return its seconds, None if unknown, and the containers' log lines if it was slow."""
        if fault.targets == (COLLECTOR,):
            return recovery.of_collector(self._stack.volumes, ended), ""
        if fault.concerns_all:
            result = recovery.of_all(self.active_faults, self._follower, self._affected_clients(fault))
        else:
            result = recovery.of_client(self.active_faults, self._follower, fault.targets[0])
        if result is None or result.seconds is None:
            return None, ""
        slow = result.seconds > SLOW_SECONDS
        return result.seconds, self._log_lines(result.client, result.since, result.seconds) if slow else ""

    def _log_lines(self, client: str, since: float, seconds: float) -> str:
        targets = (Target("client", int(client.rpartition("-")[2])), SERVER)
        try:
            return "\n" + log_lines(self.containers, targets, since - 2.0, since + seconds + 0.5)
        except AssertionError as gone:  # the log of a replaced container is removed with it
            return f"\n{gone}"

    def _affected_clients(self, fault: PlannedFault) -> list[Target]:
        # Extra clients of a scaling join in mid-run and catch up on all earlier records: that is no recovery.
        all_clients = client_targets(self._plan.clients)
        clients = [target for target in fault.targets if target in all_clients]
        return clients or (list(all_clients) if fault.concerns_all else [])

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._began

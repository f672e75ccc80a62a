"""Runs several fault plans in parallel, each on its own stack, and checks the files on disk against the feed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from chaos.containers.container_lookup import COLLECTOR, SERVER, client_targets
from chaos.containers.injector import FaultInjector
from chaos.containers.invariants import DeliveryCount, assert_all_delivered, count_deliveries
from chaos.containers.ledger_follower import LedgerFollower
from chaos.containers.memory import MemorySampler
from chaos.containers.plan import StackPlan
from chaos.tally import Tally
from services.contract.summary import Summary
from tests.integration.stack import UP_SECONDS, Stack
from tests.poll import poll_until

SETTINGS = {"BLOCK_SIZES": "5,10,25", "BLOCK_SECONDS": 0.5, "GRACE_SECONDS": 20, "SEND_SECONDS": 5}
"""Small blocks, so that filling one does not count as recovery."""
SEND_REST = """
from websockets.sync.client import connect
from services.contract import wire
with connect("ws://127.0.0.1:8765", subprotocols=[wire.SUBPROTOCOL], compression=None) as server:
    server.send(wire.encode(wire.Control(set={"rate": 0})).decode())
    while wire.decode_from_server(server.recv(decode=False))[0].__class__ is not wire.Controlled:
        pass
"""
"""Program that sets the rate to 0 (unlimited) after the last fault, so that the rest of the run takes seconds."""
INJECTION_SECONDS = 540.0
"""No fault is begun after this. A slow machine injects fewer; the records of those are checked all the same."""
COLLECTOR_MIB = 64.0
GROWTH_MIB = 16.0

_start_lock = threading.Lock()


@dataclass(frozen=True)
class Outcome:
    """The result of one fault plan: the records in the logs, and the memory that server and collector used."""

    stack_plan: StackPlan
    stack: Stack
    deliveries: DeliveryCount
    output: str
    seconds: float
    server_mib: float
    growth_mib: float
    collector_mib: float

    @property
    def names(self) -> list[str]:
        """Names of the clients that were started with the stack."""
        return [str(target) for target in client_targets(self.stack_plan.clients)]

    def assert_all_delivered(self) -> Summary:
        """Check logs, ledger and summary against the feed, and memory against its limits."""
        summary = assert_all_delivered(self.stack.volumes, self.stack_plan.records, self.names)
        assert self.collector_mib <= COLLECTOR_MIB
        assert self.growth_mib <= GROWTH_MIB
        return summary


def run_all(stack_plans: Sequence[StackPlan], folder: Path, seed: int, tally: Tally) -> list[Outcome]:
    """Run plans at the same time; add the injected faults and the counts of the logs to the tally."""
    group = StackGroup(threading.Barrier(len(stack_plans), timeout=UP_SECONDS), threading.Event())
    with ThreadPoolExecutor(len(stack_plans)) as pool, time_limit(group.must_stop):
        futures = [pool.submit(group.run, plan, folder / plan.name, seed, tally) for plan in stack_plans]
    # The stack that failed first raises here; those that were given up because of it come last.
    futures.sort(key=lambda future: isinstance(future.exception(), OtherStackFailed))
    outcomes = [future.result() for future in futures]
    for outcome in outcomes:
        outcome.deliveries.add_to(tally)
    return outcomes


@contextlib.contextmanager
def time_limit(must_stop: threading.Event) -> Iterator[None]:
    """Set ``must_stop`` after ``INJECTION_SECONDS``."""
    timer = threading.Timer(INJECTION_SECONDS, must_stop.set)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class OtherStackFailed(Exception):
    """Another stack failed to start."""


@dataclass(frozen=True)
class StackGroup:
    """Stacks that inject faults once all of them are up, and stop when one fails or the time is over."""

    all_up: threading.Barrier
    must_stop: threading.Event

    def run(self, stack_plan: StackPlan, folder: Path, seed: int, tally: Tally) -> Outcome:
        """Start a stack, run its plan, and stop the stack; return the outcome.

        Raises:
            OtherStackFailed: the plan was given up because another stack did not start.
        """
        try:
            return self._run(stack_plan, folder, seed, tally)
        except threading.BrokenBarrierError as broken:
            raise OtherStackFailed from broken
        except BaseException:
            self.must_stop.set()
            self.all_up.abort()
            raise

    def _run(self, stack_plan: StackPlan, folder: Path, seed: int, tally: Tally) -> Outcome:
        folder.mkdir(parents=True)
        began = time.monotonic()
        settings = {"RATE": stack_plan.rate, "RECORDS": stack_plan.records, "CLIENTS": stack_plan.clients, **SETTINGS}
        with Stack(folder, **settings) as stack, LedgerFollower(stack.volumes, stack_plan.records) as follower:
            with _start_lock:  # in parallel, each would build the same images
                stack.up(clients=stack_plan.clients)
            names = [str(target) for target in client_targets(stack_plan.clients)]
            poll_until(lambda: all(map(follower.last_receipted, names)), "all clients have a receipt", 60)
            injector = FaultInjector(stack, stack_plan, seed, follower, tally, self.must_stop)
            self.all_up.wait()
            with MemorySampler(injector.containers) as memory:
                for target in (SERVER, COLLECTOR):
                    injector.containers.init_pid(target)
                injector.run()
            stack.exec("server", "python", "-c", SEND_REST)
            _, output = stack.wait(timeout=180)
            return Outcome(
                stack_plan=stack_plan,
                stack=stack,
                deliveries=count_deliveries(stack.volumes, stack_plan.records, names),
                output=output,
                seconds=time.monotonic() - began,
                server_mib=memory.peak_mib(SERVER),
                growth_mib=memory.growth_mib(SERVER),
                collector_mib=memory.peak_mib(COLLECTOR),
            )

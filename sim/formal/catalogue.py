"""All proofs: what is said of which block, how deep, and faults that each must find."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from amaranth import Const

from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.machine import MACHINE
from cpt.sim.formal.axi_lite import RegisterPortProperties
from cpt.sim.formal.bursts import BurstProperties
from cpt.sim.formal.engine import Outcome, prove
from cpt.sim.formal.masters import BURSTS, ReadMasterProperties, WriteMasterProperties
from cpt.sim.formal.properties import Properties
from cpt.sim.formal.queues import CountProperties, QueueProperties
from cpt.sim.formal.tokens import (
    LoaderProperties,
    StepsProperties,
    TileWalkerProperties,
    WalkerProperties,
)

DEADLINE_S = 600.0
FAULT_CYCLES = 24
"""How deep a fault is looked for."""
_TINY = preset("tiny")


@dataclass(frozen=True)
class Fault:
    """A block made wrong.

    ``tied``: signals inside by their path, and the constant or the path that they are tied to; ``build``:
    properties of another block.
    """

    text: str
    tied: Mapping[str, Const | str] = field(default_factory=dict)
    build: Callable[[], Properties] | None = None


@dataclass(frozen=True)
class Proof:
    """One property set. Without ``induction`` only ``depth`` cycles from the start are looked at."""

    name: str
    text: str
    build: Callable[[], Properties]
    faults: tuple[Fault, ...]
    depth: int = 2
    induction: bool = True
    deadline_s: float = DEADLINE_S

    def run(self) -> Outcome:
        """Prove it."""
        return prove(self.build(), self.depth, induction=self.induction, deadline_s=self.deadline_s)

    def find(self, fault: Fault) -> Outcome:
        """Look for ``fault`` by what the block's partners see; it is found if the outcome "fails"."""
        properties = (fault.build or self.build)()
        properties.outside_only, properties.tied = True, fault.tied
        return prove(properties, FAULT_CYCLES, induction=False, deadline_s=self.deadline_s)


def _queue(depth: int) -> Proof:
    return Proof(
        f"queue_{depth}",
        f"queue of {depth}: order, nothing lost or added",
        lambda: QueueProperties(depth),
        (
            Fault("a full queue takes more", {"stored.full": Const(0)}),
            Fault("an entry leaves that nobody takes", {"pop": Const(1)}),
        ),
    )


PROOFS: dict[str, Proof] = {
    proof.name: proof
    for proof in (
        *(_queue(depth) for depth in (2, 4, 8)),
        Proof(
            "count",
            "count of many: its ends",
            lambda: CountProperties(MACHINE.float_queue_instructions),
            (Fault("one that comes is taken for one of many", {"single": Const(0)}),),
        ),
        Proof(
            "registers",
            "register port: AXI4-Lite slave",
            RegisterPortProperties,
            (
                Fault("an address is taken over another", {"bus__awready": Const(1)}),
                Fault("a read is taken over another", {"bus__arready": Const(1)}),
                Fault("a read is never answered", {"gathered": Const(0)}),
                Fault("a write is never answered", {"done": Const(0)}),
            ),
        ),
        Proof(
            "burst",
            "burst generator: runs are covered exactly",
            BurstProperties,
            (
                Fault("what waits is forgotten", {"queue.single": Const(1)}),
                Fault("a short run is read too far", {"only_rest": Const(15, 4)}),
                Fault("a run ends with its first burst", {"last": Const(1)}),
            ),
        ),
        Proof(
            "read_master",
            "read master: addresses, bursts in flight, beats",
            ReadMasterProperties,
            (
                Fault("what waits is forgotten", {"generator.queue.single": Const(1)}),
                Fault("a short run is read too far", {"generator.only_rest": Const(15, 4)}),
                Fault("more bursts than agreed", build=lambda: ReadMasterProperties(2 * BURSTS)),
            ),
        ),
        Proof(
            "write_master",
            "write master: the same, WLAST, every beat of an address",
            WriteMasterProperties,
            (
                Fault("every beat is a last one", {"last": Const(1)}),
                Fault("a beat is replaced before it is taken", {"waiting.pop": Const(1)}),
                Fault("a burst's beats are not sent", {"lengths.o__valid": Const(0)}),
                Fault("more bursts than agreed", build=lambda: WriteMasterProperties(2 * BURSTS)),
            ),
        ),
        Proof(
            "walker",
            "loader, address side: blocks and halves",
            lambda: WalkerProperties(_TINY),
            (Fault("a half is always free", {"take": "wants"}),),
        ),
        Proof(
            "steps",
            "EXEC: steps, operands and result tiles",
            lambda: StepsProperties(_TINY),
            (
                Fault("A is always ready", {"a_ready": Const(1, 2)}),
                Fault("B is always ready", {"b_ready": Const(1, 2)}),
            ),
        ),
        Proof(
            "tile_walker",
            "DRAIN, address side: tiles and runs",
            lambda: TileWalkerProperties(_TINY),
            (Fault("a tile always waits", {"waiting": Const(1, 2)}),),
        ),
        Proof(
            "loader",
            "loader: ready tokens and words",
            lambda: LoaderProperties(_TINY),
            (Fault("every group is a block's last", {"placer.last": Const(1)}),),
            depth=20,
            induction=False,
        ),
    )
}


def proof(name: str) -> Proof:
    """The proof called ``name``; raises `ContractError` naming the known ones."""
    if name not in PROOFS:
        raise ContractError(f"proof is {name!r}; allowed: {', '.join(PROOFS)}")
    return PROOFS[name]

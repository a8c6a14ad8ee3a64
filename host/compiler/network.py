"""The programs of a network: update, prepare, forward, backward, evaluate, each a list of instructions.

They follow `cpt.model.golden.fabric` pass by pass and never know a precision: bits come from slots.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cpt.host.compiler.backward import Backward
from cpt.host.compiler.choice import FEW, WIDEST, Way
from cpt.host.compiler.forward import Forward
from cpt.host.compiler.layout import Layout
from cpt.host.compiler.lifetimes import Listing, Names, Recorder
from cpt.host.compiler.memory import BATCH
from cpt.host.compiler.ordering import ordered
from cpt.host.compiler.plan import ConvPlan
from cpt.host.compiler.prepare import prepare
from cpt.host.compiler.update import update
from cpt.host.compiler.weaving import joined, woven
from cpt.host.compiler.work import Work
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.model.golden.fabric.channel import running_rate
from cpt.model.golden.fabric.network import Network

PREPARE, UPDATE = "prepare", "update"
"""Parts of lists that a step does once."""
EVALUATE, FORWARD, BACKWARD = "evaluate", "forward", "backward"
FIRST_FORWARD, SECOND_FORWARD, ONLY_FORWARD = "first forward", "second forward", "only forward"
FIRST_BACKWARD, LAST_BACKWARD = "first backward", "last backward"
OF_FEW = f", {FEW} bits at most"
"""Behind the name of a list that is another for codes of few bits."""
EARLY_SHARE = 2 / 3
"""Of the weights so many have their codes for dX made in the second forward pass, the others in the first
backward pass, whose last layers want theirs first."""


_Once = tuple[Recorder, bool]
"""A list that is woven into another, and whether it is meant to come before."""


@dataclass(frozen=True)
class Programs:
    """What a network runs: lists of instructions by name, and where everything lies."""

    lists: Mapping[str, Listing]
    layout: Layout

    def named(self, name: str, fw: int) -> str:
        """The list that is list ``name`` of a step with codes of ``fw`` bits."""
        few = f"{name}{OF_FEW}"
        return few if fw <= FEW and few in self.lists else name


def of_step(micro_batches: int) -> tuple[list[str], list[str]]:
    """Names of the lists of a step's forward passes and of its backward passes, in order.

    The first forward pass makes codes of weights for all of them, the second and the first backward pass
    those for dX, the last backward pass updates parameters.
    """
    if micro_batches == 1:
        return [ONLY_FORWARD], [LAST_BACKWARD]
    forward = [FIRST_FORWARD, SECOND_FORWARD, *[FORWARD] * (micro_batches - 2)]
    return forward, [FIRST_BACKWARD, *[BACKWARD] * (micro_batches - 2), LAST_BACKWARD]


def compiled(
    config: ArrayConfig,
    network: Network,
    *,
    images: int,
    micro_batches: int,
    scratch_words: int,
    momentum: float = 0.9,
    decay: float = 1e-4,
    way: Way | None = None,
    widest: int = WIDEST,
) -> Programs:
    """Programs for micro-batches of ``images``, ``micro_batches`` of them a step.

    ``way``: of y of all convolutions, instead of what is cheaper; ``widest``: bits of codes that they may be
    run with, fewer the rest.

    Raises `ContractError` for a network, or a micro-batch, that the machine does not take.
    """
    shared = Names()
    wide, few = (
        Layout(config, network, images, scratch_words, way, widest, usual, shared)
        for usual in (widest, min(FEW, widest))
    )
    assert few.static_bytes == wide.static_bytes  # where all lies that a step does once
    names = list(dict.fromkeys(itertools.chain(*of_step(micro_batches))))
    rate = float(running_rate(micro_batches))
    mains = _mains(wide, rate, [EVALUATE, *names])
    codes, onces = _onces(wide, rate, names, momentum, decay)
    lists = {PREPARE: _listing(_orders(codes), []), **_listings(mains, onces)}
    if few.made_again != wide.made_again:
        # y that is made again takes local memory; without it the lists for any width do for few bits too.
        with contextlib.suppress(ContractError):
            others = _listings(_mains(few, rate, names), onces)
            lists |= {f"{name}{OF_FEW}": listing for name, listing in others.items()}
    wide.memory.sizes[BATCH] = max(layout.memory.sizes[BATCH] for layout in (wide, few))
    return Programs(lists, wide)


def _mains(layout: Layout, rate: float, names: Collection[str]) -> dict[str, list[Recorder]]:
    """The passes that the lists of ``names`` are of, each in its `_orders`."""
    forward = _orders(Forward(layout, rate, training=True).emit())
    found = dict.fromkeys((FIRST_FORWARD, SECOND_FORWARD, ONLY_FORWARD, FORWARD), forward)
    first = _orders(Backward(layout, rate, first=True).emit())
    found |= dict.fromkeys((FIRST_BACKWARD, LAST_BACKWARD), first)
    if FIRST_BACKWARD in names:
        later = _orders(Backward(layout, rate, first=False).emit())
        found |= dict.fromkeys((BACKWARD, LAST_BACKWARD), later)
    if EVALUATE in names:
        found[EVALUATE] = _orders(Forward(layout, rate, training=False).emit())
    return {name: found[name] for name in names}


def _onces(
    layout: Layout, rate: float, names: Collection[str], momentum: float, decay: float
) -> tuple[Recorder, dict[str, list[_Once]]]:
    """Codes of all weights for forward products; what is woven into the lists of ``names``."""

    def prepared(plans: Iterable[ConvPlan], *, forward: bool) -> Recorder:
        work = Work(layout, rate, layout.forward, part=PREPARE)
        prepare(layout, plans, work.moves, work.v, forward=forward)
        return work.recorder

    def updated() -> Recorder:
        work = Work(layout, rate, layout.forward, part=UPDATE)
        update(layout, work.moves, work.v, momentum, decay)
        return work.recorder

    backwards = list(reversed(layout.plans[1:]))
    early = _first_share(backwards)
    codes = prepared(layout.plans, forward=True)
    woven_into: dict[str, Callable[[], list[_Once]]] = {
        FIRST_FORWARD: lambda: [(codes, True)],
        SECOND_FORWARD: lambda: [(prepared(backwards[:early], forward=False), True)],
        ONLY_FORWARD: lambda: [(codes, True), (prepared(backwards, forward=False), True)],
        FIRST_BACKWARD: lambda: [(prepared(backwards[early:], forward=False), True)],
        LAST_BACKWARD: lambda: [(updated(), False)],
    }
    return codes, {name: make() for name, make in woven_into.items() if name in names}


def _listings(mains: Mapping[str, list[Recorder]], onces: Mapping[str, list[_Once]]) -> dict[str, Listing]:
    """The lists of passes, with what is woven into them."""
    return {name: _listing(orders, onces.get(name, [])) for name, orders in mains.items()}


def _first_share(plans: Sequence[ConvPlan]) -> int:
    """How many of ``plans`` have `EARLY_SHARE` of all weights."""
    ends = list(itertools.accumulate(plan.weight.size for plan in plans))
    return sum(end <= EARLY_SHARE * ends[-1] for end in ends) if ends else 0


def _orders(main: Recorder) -> list[Recorder]:
    """``main`` in an order that takes less time, and as it is: those whose vectors may have room.

    Raises `ContractError` where neither's have, whatever stands beside them.
    """
    found = []
    for whole in (ordered(main), main):
        try:
            whole.require_room()
            found.append(whole)
        except ContractError as error:
            failed = error
    if not found:
        raise failed
    return found


def _listing(orders: list[Recorder], onces: list[_Once]) -> Listing:
    """A list in the first of its ``orders`` with others in it, or one behind the other, in which vectors have
    room."""
    for whole, of_two in itertools.product(orders, (woven, joined) if onces else (joined,)):
        found = whole
        for once, before in onces:
            found = of_two(found, once, before=before)
        try:
            return found.program()
        except ContractError as error:
            failed = error
    raise failed

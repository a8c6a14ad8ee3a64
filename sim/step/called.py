"""What instructions are called where a person reads of them."""

from __future__ import annotations

from cpt.hw.contract.floats import Op
from cpt.hw.contract.passes import CODES, Apply, Bring, Drain, Store
from cpt.hw.contract.step import Code, Word
from cpt.sim.step.costs import Costs

KINDS = {Code.DRAIN: Drain, Code.APPLY: Apply, Code.BRING: Bring, Code.STORE: Store}
PRODUCTS = (Code.EXEC, Code.EXEC_DW)
OF_CODES = (Code.LOAD_A, Code.LOAD_E, Code.FETCH, Code.FETCH_X)


def called(word: Word) -> str:
    """An instruction's name and kind."""
    if word.code is Code.FLOAT:
        return f"FLOAT {Op(word.op).name}"
    kinds = KINDS.get(word.code)
    return f"{word.code.name} {kinds(word.kind).name}" if kinds else word.code.name


def bits_of(costs: Costs, word: Word) -> str:
    """Bits of the codes that it moves or multiplies, ``8`` or ``8 x 3``; empty if it has none."""
    if word.code in PRODUCTS:
        return f"{costs.slots[word.slot_a].bits} x {costs.slots[word.slot_b].bits}"
    packs = word.code is Code.STORE and word.kind == Store.PACK
    if word.code in OF_CODES or packs or (word.code is Code.APPLY and Apply(word.kind) in CODES):
        return str(costs.bits(word))
    return ""

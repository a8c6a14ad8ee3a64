"""cpt.host.compiler.ordering: fewer cycles, and whatever reads what another writes still comes behind it."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

import numpy as np
import pytest
from step_networks import network, widening

from cpt.host.compiler.builder import Region
from cpt.host.compiler.forward import Forward
from cpt.host.compiler.layout import Layout
from cpt.host.compiler.lifetimes import Held, Recorder
from cpt.host.compiler.network import FIRST_FORWARD, OF_FEW, compiled, of_step
from cpt.host.compiler.ordering import ordered
from cpt.host.compiler.vectors import Vectors, coefficient, statistic
from cpt.host.fabric import precision_slots
from cpt.hw.contract import preset
from cpt.hw.contract.floats import Coefficient, Op, Statistic
from cpt.hw.contract.passes import Store
from cpt.hw.contract.step import Code
from cpt.model.golden.fabric.trainer import Settings
from cpt.sim.memory import memory_model
from cpt.sim.step.forecast import timeline
from cpt.sim.step.machine import StepMachine
from cpt.sim.step.pair import Pair
from cpt.sim.step.state import Slot

TINY = preset("tiny", "step")
OPERATIONS = (Op.INT_ADD, Op.INT_MAXIMUM, Op.INT_SUBTRACT)


def meet(one: Held, other: Held) -> bool:
    """Whether one of two instructions writes what the other reads or writes."""

    def touch(some: list[Region], others: list[Region]) -> bool:
        return any(a.memory == b.memory and a.meets(b) for a in some for b in others)

    return touch(one.writes, [*other.reads, *other.writes]) or touch(other.writes, one.reads)


@pytest.mark.parametrize("seed", range(4))
def test_what_meets_keeps_its_order(seed: int) -> None:
    rng, recorder = random.Random(seed), Recorder(TINY, 0, 4096)
    v = Vectors(recorder)
    regions = [recorder.region(8) for _ in range(3)]
    held = [v.new(8) for _ in range(6)]
    for _ in range(60):
        region = rng.choice(regions)
        sources = [*held, coefficient(Coefficient.ZERO, region, 8), statistic(Statistic.TOTAL, region, 8)]
        to = rng.choice([*held, v.new(8), coefficient(rng.choice(list(Coefficient)), region, 8)])
        v.emit(rng.choice(OPERATIONS), rng.choice(sources), rng.choice(sources), to=to)
        held[rng.randrange(6)] = to if to.region and to.region.memory == "local" else held[0]
        if rng.random() < 0.1:
            recorder.add(Code.BRING, [], [Region("local", held[0].address, held[0].address + 8)])
    found = ordered(recorder).held
    assert sorted(map(id, found)) == sorted(map(id, recorder.held))
    assert [id(item) for item in found] != [id(item) for item in recorder.held]
    place = {id(item): number for number, item in enumerate(found)}
    for one, other in combinations(recorder.held, 2):
        if meet(one, other) or Code.BRING in (one.code, other.code):
            assert place[id(one)] < place[id(other)]


def test_an_ordered_list_takes_fewer_cycles() -> None:
    layout = Layout(TINY, network(widening(8, 16)), 2, TINY.scratch_words)
    plain = Forward(layout, 0.1, training=True).emit()
    slots = {slot: Slot(*held) for slot, held in precision_slots(layout.network, 3, 8).items()}
    times = timeline(TINY, memory_model("ps-ddr", TINY.clock_mhz), slots)
    before, after = (times.run(each.program().words).cycles for each in (plain, ordered(plain)))
    assert 0.8 * before < after < 0.98 * before


def test_weights_come_right_behind_the_product_before() -> None:
    layout = Layout(TINY, network(widening(8, 16)), 2, TINY.scratch_words)
    words = Forward(layout, 0.1, training=True).emit().program()
    codes = [word.code for word in words.decoded()]
    assert codes.count(Code.LOAD_A) == codes.count(Code.EXEC) == len(layout.plans)
    befores = [before for before, code in pairwise(codes) if code is Code.LOAD_A]
    assert codes[0] is Code.LOAD_A
    assert befores == [Code.DRAIN] * (len(layout.plans) - 1)
    assert codes.count(Code.FETCH) == codes.count(Code.DRAIN) == layout.images * len(layout.plans)


def test_steps_of_few_bits_have_lists_of_their_own_where_y_comes_from_elsewhere() -> None:
    """And any order of precisions trains to the golden bits."""
    config, blocks = preset("middle", "step"), widening(4, 8)
    settings = Settings(seed=5, batch_size=4, micro_batch=2)
    device = StepMachine(config, memory=1 << 22, scratch_words=config.scratch_words)
    pair = Pair(lambda: network(blocks), settings, config, device)
    pair.begin()
    rng = np.random.default_rng(1)
    for fw in (8, 3, 5, 4):
        images = rng.integers(0, 40, (4, 8, 8, 1)).astype(np.uint8)
        pair.train_step((images, rng.integers(0, 3, 4)), (fw, 8), 0.1)
    programs = pair.trainer.programs
    for name in {name for part in of_step(2) for name in part}:
        assert programs.named(name, 8) == programs.named(name, 5) == name
        assert programs.named(name, 4) == programs.named(name, 3) == f"{name}{OF_FEW}"
    wide, few = (
        sum(word.code is Code.STORE and word.kind == Store.SCRATCH for word in listing.decoded())
        for listing in (programs.lists[FIRST_FORWARD], programs.lists[f"{FIRST_FORWARD}{OF_FEW}"])
    )
    assert few < wide, "y goes to memory less often"
    same = compiled(TINY, network(blocks), images=2, micro_batches=2, scratch_words=TINY.scratch_words)
    assert same.named(FIRST_FORWARD, 3) == FIRST_FORWARD

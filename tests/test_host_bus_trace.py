"""On the bus, an epoch of another precision differs in precision slots and in nothing else."""

import numpy as np
import pytest
from driven import Multiplication, codes, opened

from cpt.host.fabric import FabricTrainer
from cpt.host.step_device import StepDevice
from cpt.hw.contract import preset, register, slot_offset
from cpt.hw.contract.config import STEP
from cpt.hw.contract.step import Code, decode
from cpt.sim.memory import memory_model
from cpt.sim.rtl import RtlBackend
from cpt.sim.rtl.library import EventKind
from cpt.sim.step.backend import StepBackend
from cpt.sim.step.rtl import Case, batches
from cpt.sim.trace import TracedBackend

SLOT_NAMES = {f"SLOT_{index}" for index in range(256)}


def without_numbers(words):
    """The ring's words without tags and keys of noise, which go on from step to step."""
    kept = []
    for word in map(decode, words):
        values = {name: value for name, value in word.values.items() if name != "tag"}
        if word.code is Code.SET and word.kind == 1:
            del values["value"]
        kept.append((word.code, values))
    return kept


def test_between_steps_of_different_precision_only_slots_change():
    trace = TracedBackend(StepBackend(preset("tiny", STEP), memory_model("ideal", 200.0), 1 << 22))
    case = Case(4, 4, 2, 2, (4, 8), before=0, steps=4, stall=0.0, seed=3)
    with opened(trace) as accelerator:
        config = accelerator.config
        trainer = FabricTrainer(
            StepDevice(accelerator),
            config,
            case.network(),
            batch_size=4,
            micro_batch=2,
            scratch_words=config.scratch_words,
        )
        seen = []
        for (images, labels), bits in zip(batches(case), ((5, 8), (3, 8), (3, 8), (6, 8)), strict=True):
            trace.clear()
            trainer.train_step(images, labels, bits, 0.05)
            slots = dict(item for item in trace.writes if item[0] in SLOT_NAMES)
            others = [name for name, _ in trace.writes if name not in SLOT_NAMES]
            seen.append((slots, others, without_numbers(trace.words)))
    of_layers = {f"SLOT_{index}" for index in range(7)}
    (_, writes, words), lower, same, higher = seen
    assert set(lower[0].values()) > {3}
    assert set(lower[0]) >= of_layers
    assert same[0] == {}
    assert set(higher[0]) == set(lower[0])
    for _, other_writes, other_words in (lower, same, higher):
        assert other_writes == writes
        assert other_words == words
    codes = [code for code, _ in words]
    assert codes.count(Code.RUN) == 4
    assert codes.count(Code.END) == 5


@pytest.fixture
def rtl():
    config = preset("tiny")
    return RtlBackend(config, memory_model("ideal", config.clock_mhz), 1 << 22)


def test_on_the_rtl_bus_a_lower_precision_only_leaves_planes_out(rtl):
    """Register writes and addresses as the compiled RTL saw them on its ports."""
    rng = np.random.default_rng(1)
    seen = []
    with opened(rtl) as accelerator:
        work = Multiplication(accelerator, codes(rng, 9, 100, 3), codes(rng, 20, 100, 3), bits=(8, 8))
        work.check()  # the first run tells the machine where its buffers are
        for bits in (8, 3, 8):
            work.bits = (bits, bits)
            rtl.trace(True)
            work.check()
            rtl.trace(False)
            events = rtl.take_events()
            writes = [(item.address, item.value) for item in events if item.kind == EventKind.REGISTER_WRITE]
            reads = {(item.port, item.address) for item in events if item.kind == EventKind.READ_BURST}
            stores = {item.address for item in events if item.kind == EventKind.WRITE_BURST}
            seen.append((writes, reads, stores))
    slots = {slot_offset(0), slot_offset(1)}
    tail = register("RING_TAIL").offset
    others = [[item for item in writes if item[0] not in slots | {tail}] for writes, _, _ in seen]
    assert others[0] == others[1] == others[2]
    assert [(address, value) for address, value in seen[1][0] if address in slots] == [
        (slot_offset(0), 3),
        (slot_offset(1), 3),
    ]
    ring = {(0, address) for address in ring_addresses(accelerator)}
    low, high = seen[1][1] - ring, seen[0][1] - ring
    assert low < high
    assert seen[2][1] - ring == high
    assert seen[1][2] <= seen[0][2]
    assert seen[0][2] == seen[2][2]


def ring_addresses(accelerator):
    """Where instructions lie: each run puts its own a little further on."""
    start = accelerator.ring.buffer.device_address
    return range(start, start + accelerator.ring.buffer.nbytes)

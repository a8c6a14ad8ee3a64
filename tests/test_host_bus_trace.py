"""On the bus, an epoch of another precision differs in precision slots and in nothing else."""

import numpy as np
import pytest
from driven import Multiplication, codes, fast_backend, opened

from cpt.host.config import TrainConfig
from cpt.host.data import Images, split
from cpt.host.trainer import Trainer
from cpt.hw.contract import Opcode, decode, preset, register, slot_offset
from cpt.sim.memory import memory_model
from cpt.sim.rtl import RtlBackend
from cpt.sim.rtl.library import EventKind
from cpt.sim.trace import TracedBackend

SLOT_NAMES = {f"SLOT_{index}" for index in range(256)}


def small_data():
    rng = np.random.default_rng(0)
    labels = (np.arange(40) % 2).astype(np.int64)
    pixels = rng.normal(size=(40, 8, 8, 1)).astype(np.float32) + labels[:, None, None, None].astype(
        np.float32
    )
    return split("two shades", Images(pixels, labels))


def beside_slots(trace):
    """Register writes that set no slot, with the ever-rising tail as instructions placed."""
    others, tail = [], None
    for name, value in trace.writes:
        if name == "RING_TAIL":
            others.append((name, value - tail if tail is not None else None))
            tail = value
        elif name not in SLOT_NAMES:
            others.append((name, value))
    return others


def without_tags(trace):
    """The instructions, END reduced to its opcode: its tag counts programs."""
    return [bytes([Opcode.END]) if word[0] & 0xF == Opcode.END else word for word in trace.words]


def test_between_epochs_of_different_precision_only_slots_change():
    trace = TracedBackend(fast_backend(memory_bytes=1 << 26))
    config = TrainConfig(model="resnet8", width=4, epochs=3, cycles=1, fw=(3, 8), batch_size=16, lr=0.01)
    with opened(trace) as accelerator:
        trainer = Trainer(config, small_data(), accelerator)
        trainer.train_epoch()  # sets every slot for the first time
        seen = []
        for _ in range(2):
            trace.clear()
            reports = trainer.train_epoch()
            slots = [item for item in trace.writes if item[0] in SLOT_NAMES]
            seen.append((reports[0].fw, slots, beside_slots(trace), without_tags(trace)))
    (first_fw, _, first_writes, first_words), (second_fw, slots, second_writes, second_words) = seen
    assert first_fw != second_fw
    # every step begins with a reset, which writes all slots again
    assert set(slots) == {("SLOT_0", second_fw), ("SLOT_1", 8)}
    assert first_writes == second_writes
    assert first_words == second_words
    kinds = [decode(word.ljust(32, b"\0")).opcode for word in second_words]
    assert kinds.count(Opcode.END) > 30
    assert kinds.count(Opcode.LOAD_A) > 30


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

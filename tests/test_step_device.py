"""The machine of whole steps behind its driver, exact model and RTL: it stops where it must, and goes on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from cpt.host.driver import Accelerator
from cpt.host.errors import DeviceError
from cpt.host.fabric import FabricTrainer
from cpt.host.step_device import StepDevice
from cpt.hw.contract import preset, register
from cpt.hw.contract.passes import Bring, Store
from cpt.hw.contract.step import Code, Engine, encode
from cpt.model.golden.fabric.trainer import Settings, Trainer
from cpt.sim.device import open_simulated
from cpt.sim.memory import memory_model
from cpt.sim.step.backend import StepBackend
from cpt.sim.step.rtl import Case, batches

pytestmark = pytest.mark.timeout(1800)
"""Seconds: the first test builds the RTL, some minutes of two processors."""
TINY = preset("tiny", "step")
LIST = 1 << 12
"""Where a test's list of instructions lies in the device's memory."""


@pytest.fixture(params=["fast", "rtl"])
def device(request: pytest.FixtureRequest) -> Iterator[StepDevice]:
    simulated = open_simulated(request.param, TINY, memory_bytes=1 << 20)
    with Accelerator(simulated.bitfile, simulated, deadline_s=60) as accelerator:
        step = StepDevice(accelerator)
        step.base = step.allocate(1 << 14)
        yield step
    simulated.close()


def rung(device: StepDevice, *words: bytes, tag: int = 7) -> None:
    """A list of ``words``, to its END."""
    device.write(device.base + LIST, np.frombuffer(b"".join(words), np.uint8))
    call = encode(Code.RUN, base=1, count=len(words))
    ahead = encode(Code.SET, index=1, value=device.base + LIST) + encode(Code.SET, index=0, value=device.base)
    device.ring(ahead + call + encode(Code.END, tag=tag))
    device.wait(tag)


def test_a_machine_tells_its_scratch(device: StepDevice) -> None:
    assert device.accelerator.config == TINY


LOCAL_OUT = {"kind": int(Store.LOCAL), "words": 2, "runs": 1}


@pytest.mark.parametrize(
    ("word", "error"),
    [
        (bytes(32), "illegal_opcode"),
        (encode(Code.STORE, base=0, offset=1 << 14, **LOCAL_OUT), "write_window"),
        (encode(Code.BRING, kind=int(Bring.LOCAL), words=2, runs=1, base=0, offset=1 << 14), "read_window"),
        (encode(Code.STORE, base=0, offset=4, **LOCAL_OUT), "misaligned"),
        (encode(Code.EXEC, slot_a=200, slot_b=200, ksteps=1, a_tiles=1, tiles=1), "bad_slot"),
        (encode(Code.STORE, kind=int(Store.LOCAL)), "illegal_opcode"),
        (encode(Code.END, tag=3), "illegal_opcode"),
    ],
    ids=["no code", "write window", "read window", "beats", "slot", "nothing to move", "END in a list"],
)
def test_what_must_not_run_stops_the_machine_which_a_reset_restarts(
    device: StepDevice, word: bytes, error: str
) -> None:
    good = encode(Code.FLOAT, op=21, n=4, reps=1, to=2, to_moves=1, a_space=4, b_space=4, c_space=4)
    with pytest.raises(DeviceError, match=error):
        rung(device, good, word)
    device.accelerator.soft_reset()
    device.write(device.base, np.full(64, 0xFF, np.uint8))
    after_it = {"wait0_engine": int(Engine.FLOAT), "wait0_first": 1, "wait1_engine": 0}
    rung(device, good, encode(Code.STORE, base=0, offset=8, place=2, **LOCAL_OUT, **after_it))
    found = device.read(device.base, 64)
    assert [found[:8].min(), found[8:16].max(), found[16:].min()] == [0xFF, 0, 0xFF]


ERRORS = {"images": 1, "groups": 1, "pitch_log2": 3, "strips": 1, "planes": 8, "height": 32, "width": 8}


@pytest.mark.parametrize(
    ("code", "fits", "beyond"),
    [
        (Code.LOAD_A, {"tiles": 16, "ksteps": 1}, {"tiles": 17, "ksteps": 1}),
        (Code.LOAD_E, {**ERRORS, "rows": 16}, {**ERRORS, "rows": 17}),
    ],
    ids=["weights", "errors"],
)
def test_a_block_that_half_of_the_buffer_does_not_hold_stops_the_machine(
    device: StepDevice, code: Code, fits: dict[str, int], beyond: dict[str, int]
) -> None:
    """128 words of 8 planes are the most; more would lie over what the array multiplies with."""
    device.set_slots({0: (8, True)})
    rung(device, encode(code, base=0, **fits))
    with pytest.raises(DeviceError, match="operand_overflow"):
        rung(device, encode(code, base=0, **beyond), tag=8)


def test_a_wait_that_never_ends_is_seen_by_the_watchdog(device: StepDevice) -> None:
    never = {"wait0_engine": int(Engine.STORE), "wait0_first": 5}
    device.accelerator.ip.write("WATCHDOG", 2000)
    with pytest.raises(DeviceError, match="watchdog"):
        rung(device, encode(Code.FLOAT, op=21, n=4, reps=1, to=2, to_moves=1, a_space=4, **never))


@pytest.mark.parametrize(
    ("words", "index"),
    [
        ([encode(Code.BRING, words=2, runs=1)], 0),
        ([encode(Code.SET, index=3, value=5), encode(Code.RUN, base=1, offset=8, count=1)], 1),
        ([encode(Code.SET, index=1, value=1 << 19), encode(Code.RUN, base=1, count=1)], 1),
    ],
    ids=["an engine's word", "a crooked list", "a list outside the window"],
)
def test_a_word_of_the_ring_that_is_refused_is_named(
    device: StepDevice, words: list[bytes], index: int
) -> None:
    device.ring(b"".join([*words, encode(Code.END, tag=3)]))
    with pytest.raises(DeviceError, match=f"stopped at word {index} of the ring"):
        device.wait(3)


def test_a_locked_register_keeps_its_value_while_the_machine_is_busy() -> None:
    """In the model, which is busy from the doorbell until somebody looks."""
    backend = StepBackend(TINY, memory_model("ideal", 200.0), 1 << 16, memory_base=0)
    ring, limit, base, tail, slot, error = (
        register(name).offset
        for name in ("RING_BASE", "READ_LIMIT", "READ_BASE", "RING_TAIL", "SLOT_3", "ERROR")
    )
    backend.memory[:32] = np.frombuffer(encode(Code.END, tag=9), np.uint8)
    for offset, value in ((ring, 0), (base, 0), (limit, 1 << 16), (slot, 5), (tail, 1), (slot, 7)):
        backend.write_register(offset, value)
    assert backend.read_register(error) == 1 << 7
    assert backend.read_register(slot) == 5
    assert backend.read_register(register("DONE_TAG").offset) == 9


def test_a_network_trains_on_the_model_as_on_the_golden_functions_and_cycles_are_counted() -> None:
    case = Case(4, 8, 2, 2, (5, 8), before=0, steps=2, stall=0.0, seed=1)
    golden = Trainer(case.network(), Settings(1, 4, 2, 0.9, 1e-4))
    simulated = open_simulated("fast", TINY, memory_bytes=1 << 22)
    with Accelerator(simulated.bitfile, simulated) as accelerator:
        device = StepDevice(accelerator)
        trainer = FabricTrainer(
            device,
            TINY,
            case.network(),
            batch_size=4,
            micro_batch=2,
            scratch_words=TINY.scratch_words,
            seed=1,
        )
        device.counters()
        cycles = []
        for images, labels in batches(case):
            assert trainer.train_step(images, labels, case.bits, 0.05) == golden.train_step(
                images, labels, case.bits, 0.05
            )
            cycles.append(device.counters().total)
        found, expected = trainer.state()[0], golden.state()[0]
    simulated.close()
    assert all(found[name].tobytes() == value.tobytes() for name, value in expected.items())
    assert cycles[0] == cycles[1] > 10_000

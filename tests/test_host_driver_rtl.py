"""The driver on the compiled RTL: errors halt the real machine, and the next program runs all the same."""

import numpy as np
import pytest
from driven import MEMORY_BYTES, Multiplication, codes, opened

from cpt.host.errors import DeviceError
from cpt.host.program import Program
from cpt.hw.contract import Opcode, encode, preset
from cpt.sim.memory import memory_model
from cpt.sim.rtl import RtlBackend

END = encode(Opcode.END, tag=0)
LOAD = {
    "slot": 0,
    "tiles": 1,
    "ksteps": 1,
    "blocks": 1,
    "base": 0x1000_0000,
    "block_stride": 0,
    "tile_stride": 0,
    "plane_stride": 24,
}
DRAIN = {
    "slot_a": 0,
    "slot_b": 1,
    "k_log2": 0,
    "col_sums": 0,
    "tiles": 1,
    "base": 0x1000_0000,
    "block_stride": 0,
    "tile_stride": 0,
    "blocks": 1,
}


@pytest.fixture(scope="module")
def machine():
    config = preset("tiny")
    with opened(RtlBackend(config, memory_model("ps-ddr", config.clock_mhz), MEMORY_BYTES)) as accelerator:
        yield accelerator


def check_product(machine):
    """A product in several result tiles is exact, takes the cycles it must, and frees its memory."""
    rng = np.random.default_rng(2)
    work = Multiplication(machine, codes(rng, 9, 100, 3), codes(rng, 17, 100, 5), bits=(3, 5))
    work.check()
    assert work.counters.exec_busy == work.program.exec_cycles({0: (3, False), 1: (5, False)})
    for buffer in work.buffers:
        machine.free(buffer)


def test_products_are_exact_in_every_loop_order(machine):
    rng = np.random.default_rng(3)
    for m, n, k, bits in ((70, 12, 90, (2, 7)), (13, 9, 760, (4, 4)), (5, 9, 1000, (8, 1))):
        work = Multiplication(machine, codes(rng, m, k, bits[0]), codes(rng, n, k, bits[1]), bits=bits)
        work.check()
        assert work.counters.exec_busy == work.program.exec_cycles({0: (bits[0], False), 1: (bits[1], False)})


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("illegal_opcode", bytes(32), r"instruction 0 \(unknown opcode 0\)"),
        ("bad_slot", encode(Opcode.LOAD_A, **LOAD | {"slot": 99}), "stopped at instruction"),
        ("operand_overflow", encode(Opcode.LOAD_B, **LOAD | {"tiles": 200}), "stopped at instruction"),
        ("axi_read", encode(Opcode.LOAD_A, **LOAD | {"base": 0xF000_0000}), "stopped at instruction"),
        ("result_width", encode(Opcode.DRAIN, **DRAIN | {"k_log2": 31, "slot_a": 2, "slot_b": 2}), "stopped"),
    ],
)
def test_each_error_is_named_and_the_next_program_runs(machine, name, words, message):
    machine.set_slots({0: (4, False), 1: (4, False), 2: (16, False)})
    with pytest.raises(DeviceError, match=message) as caught:
        machine.run(Program(name, words + END), deadline_s=30)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    check_product(machine)


def test_a_write_outside_the_memory_is_refused(machine):
    rng = np.random.default_rng(4)
    work = Multiplication(machine, codes(rng, 4, 48, 4), codes(rng, 8, 48, 4), sums=False)
    work.set_slots()
    lost = encode(Opcode.DRAIN, **DRAIN | {"base": 0xF000_0000})
    loads_and_exec = work.program.words[:96]
    with pytest.raises(DeviceError, match="write_window"):
        machine.run(Program("lost", loads_and_exec + lost + END), deadline_s=30)
    check_product(machine)

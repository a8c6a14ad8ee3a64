"""Programs no builder writes: compiled RTL and fast model leave the same bytes and count the same cycles."""

import numpy as np
import pytest

from cpt.host.program import Program
from cpt.hw.contract import ArrayConfig, Counter, Opcode, encode, preset
from cpt.hw.contract.config import ALL_TAPS
from cpt.hw.contract.layout import SUM_ROWS
from cpt.sim.backend import MEMORY_BASE, Backend
from cpt.sim.bare import BareMachine
from cpt.sim.fast import FastBackend
from cpt.sim.memory import memory_model
from cpt.sim.rtl import RtlBackend

RING_LOG2 = 8
OPERANDS = MEMORY_BASE + (32 << RING_LOG2)
OPERAND_BYTES = 1 << 15
RESULTS = OPERANDS + OPERAND_BYTES
MEMORY_BYTES = 1 << 20
DEADLINE_CYCLES = 2_000_000


class OddProgram:
    """A random program that ends: loads and drains grouped otherwise than EXEC, EXEC reading other words."""

    def __init__(self, config: ArrayConfig, seed: int) -> None:
        self.rng = np.random.default_rng([7, seed])
        self.config = config
        # Slot 0, 1: what is loaded of A and B. Slot 2, 3: what EXEC reads.
        self.bits = [int(bits) for bits in self.rng.integers(1, 9, 4)]
        self.signed = [bool(self.rng.integers(2)) for _ in range(4)]
        self.words: list[bytes] = []
        self.result = RESULTS
        for _ in range(int(self.rng.integers(1, 5))):
            self._job()
        self.words.append(encode(Opcode.END, tag=0))

    def _number(self, most: int) -> int:
        return int(self.rng.integers(1, most + 1))

    def _load(self, opcode: Opcode, tiles: int, ksteps: int, blocks: int) -> None:
        stride = 8 * int(self.rng.integers(0, 40))
        self.words.append(
            encode(
                opcode,
                slot=opcode - Opcode.LOAD_A,
                tiles=tiles,
                ksteps=ksteps,
                blocks=blocks,
                base=OPERANDS + 8 * int(self.rng.integers(0, 512)),
                block_stride=stride,
                tile_stride=8 * int(self.rng.integers(0, 40)),
                plane_stride=8 * int(self.rng.integers(0, 40)),
            )
        )

    def _exec(self, ksteps: int, tiles: int, blocks: int, first: bool, last: bool, release: bool) -> None:
        self.words.append(
            encode(
                Opcode.EXEC,
                slot_a=2,
                slot_b=3,
                ksteps=ksteps,
                first=first,
                last=last,
                tiles=tiles,
                release_a=release,
                taps=int(self.rng.integers(1, ALL_TAPS + 1)),
                blocks=blocks,
            )
        )

    def _drain(self, tiles: int, blocks: int) -> None:
        longest = (self.config.rows + SUM_ROWS) * 6 * self.config.cols
        stride = longest + 8 * int(self.rng.integers(0, 9))
        self.words.append(
            encode(
                Opcode.DRAIN,
                slot_a=2,
                slot_b=3,
                k_log2=int(self.rng.integers(0, 20)),
                col_sums=int(self.rng.integers(2)),
                tiles=tiles,
                base=self.result,
                block_stride=tiles * stride,
                tile_stride=stride,
                blocks=blocks,
            )
        )
        self.result += tiles * blocks * stride

    def _job(self) -> None:
        words = self.config.half_words("a")
        if self.rng.integers(2):
            return self._chunks(words)
        ksteps = self._number(min(4, words // self.bits[0]))
        tiles = self._number(min(4, words // (self.bits[0] * ksteps)))
        self._load(Opcode.LOAD_A, tiles, ksteps, 1)
        sizes = [self._number(3) for _ in range(self._number(3))]
        for index, blocks in enumerate(sizes):
            # One EXEC out of several loads, and result tiles drained in other groups.
            parts = [1] * blocks if self.rng.integers(2) else [blocks]
            for part in parts:
                self._load(Opcode.LOAD_B, 1, ksteps, part)
            # EXEC may read fewer words than were loaded, or older ones behind them.
            read_steps = self._number(min(ksteps + 2, words // max(self.bits[2:])))
            done = self._number(min(tiles + 1, words // (self.bits[2] * read_steps)))
            self._exec(read_steps, done, blocks, True, True, index == len(sizes) - 1)
            self._drain(*((1, done * blocks) if self.rng.integers(2) else (done, blocks)))
        return None

    def _chunks(self, words: int) -> None:
        """A sum over chunks of K, several A blocks in one load."""
        ksteps = self._number(min(3, words // max(self.bits[:2])))
        chunks = self._number(4)
        self._load(Opcode.LOAD_A, 1, ksteps, chunks)
        self._load(Opcode.LOAD_B, 1, ksteps, chunks)
        for chunk in range(chunks):
            self._exec(ksteps, 1, 1, chunk == 0, chunk == chunks - 1, True)
        self._drain(1, 1)


def _run(backend: Backend, odd: OddProgram, seed: int) -> dict[Counter, int]:
    rng = np.random.default_rng([8, seed])
    backend.memory[:] = rng.integers(0, 256, backend.memory.size, np.uint8)
    machine = BareMachine(backend, RING_LOG2)
    for slot, (bits, signed) in enumerate(zip(odd.bits, odd.signed, strict=True)):
        machine.set_slot(slot, bits, signed)
    return dict(machine.run(Program("odd", b"".join(odd.words)), DEADLINE_CYCLES))


@pytest.mark.parametrize("memory", ["ideal", "ps-ddr"])
def test_rtl_and_fast_model_leave_the_same_bytes_and_count_alike(memory: str) -> None:
    config = preset("tiny")
    model = memory_model(memory, config.clock_mhz)
    inexact = []
    for seed in range(40):
        odd = OddProgram(config, seed)
        rtl, fast = (kind(config, model, MEMORY_BYTES) for kind in (RtlBackend, FastBackend))
        counted, predicted = (_run(backend, odd, seed) for backend in (rtl, fast))
        np.testing.assert_array_equal(rtl.memory, fast.memory, f"seed {seed}, bits {odd.bits} {odd.signed}")
        for counter in (Counter.EXEC_BUSY, Counter.BYTES_READ, Counter.BYTES_WRITTEN):
            assert counted[counter] == predicted[counter], f"{counter.name}, seed {seed}"
        error = predicted[Counter.TOTAL] / counted[Counter.TOTAL] - 1
        assert abs(error) <= 0.02, f"seed {seed}: {counted} {predicted}"
        if error:
            inexact.append((seed, counted[Counter.TOTAL], predicted[Counter.TOTAL]))
        rtl.close()
    assert len(inexact) <= 8, inexact

"""What follows from an instruction and its slots: words of tiles and blocks, bytes of results, beats."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig, Opcode
from cpt.hw.contract.config import ACC_BITS, BEAT_BYTES, MAX_BITS
from cpt.hw.contract.layout import SUM_ROWS
from cpt.hw.control.checks import OPCODES
from cpt.hw.layouts import (
    BITS_WIDTH,
    INSTRUCTION_BITS,
    RUN_BEATS_WIDTH,
    SLOT,
    drain_command,
    instruction_layout,
)

TILE_BITS, BLOCK_BITS = 16, 26
"""Widths of the words of a tile and of a block, for any instruction and slots."""


class Operands(wiring.Component):
    """Multiplies bits, K steps and tiles, and adds up the bits of a result.

    Everything goes through registers that are written in every cycle, so the inputs must stand still.

    Members: ``word``; with it one cycle later ``opcode``, ``slot_a``, ``slot_b``; ``a``, ``b``: the slots;
    ``planes_less``: bits - 1 of a LOAD, and ``one_plane`` if that is 0 or it is none; ``bad_slots``: a slot
    that the instruction names has other than 1 to 16 bits; ``run``: beats of one of its runs;
    ``a_tile_words``, ``block_words``: words of a tile and a block, or of operand A's; ``overflow``: blocks
    are larger than half a buffer; ``result_bytes``; ``too_wide``: a DRAIN's result has more than 48 bits.
    Latency `latency_cycles` from ``word`` to the last of them, ``overflow``; ``bad_slots`` takes 3,
    ``too_wide`` and ``result_bytes`` 4, ``run`` and the words of tiles 5.
    """

    latency_cycles = 8

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "word": In(INSTRUCTION_BITS),
                "opcode": In(OPCODES),
                "slot_a": In(SLOT),
                "slot_b": In(SLOT),
                "a": Out(SLOT),
                "b": Out(SLOT),
                "planes_less": Out(BITS_WIDTH),
                "one_plane": Out(1),
                "bad_slots": Out(1),
                "run": Out(RUN_BEATS_WIDTH),
                "a_tile_words": Out(TILE_BITS),
                "block_words": Out(BLOCK_BITS),
                "overflow": Out(1),
                "result_bytes": Out(drain_command().members["bytes"]),
                "too_wide": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, opcode = self.config, self.opcode
        load, execute, drain = (
            data.View(instruction_layout(op), self.word) for op in (Opcode.LOAD_A, Opcode.EXEC, Opcode.DRAIN)
        )
        is_load = opcode.load_a | opcode.load_b

        # The slots, and K steps and tiles of this kind of instruction.
        ksteps = Signal.like(load.ksteps, reset_less=True)
        tiles = Signal.like(load.tiles, reset_less=True)
        bad_a = Signal(reset_less=True)
        bad_b = Signal(reset_less=True)
        m.d.sync += [
            ksteps.eq(Mux(opcode.exec, execute.ksteps, load.ksteps)),
            tiles.eq(Mux(opcode.exec, execute.tiles, load.tiles)),
            self.a.eq(self.slot_a),
            self.b.eq(self.slot_b),
            self.planes_less.eq((self.slot_a.bits - 1)[:BITS_WIDTH]),
            self.one_plane.eq(~is_load | (self.slot_a.bits == 1)),
            bad_a.eq(_bad(self.slot_a.bits)),
            bad_b.eq(_bad(self.slot_b.bits)),
            self.bad_slots.eq((~opcode.end & bad_a) | ((opcode.exec | opcode.drain) & bad_b)),
        ]

        # Two pairs of factors, then a third: registers before, in and behind the multipliers.
        words = {}
        for name, slot in (("a", self.a), ("b", self.b)):
            words[name] = _product(m, f"words_{name}", slot.bits, ksteps)[:TILE_BITS]
        m.d.comb += self.a_tile_words.eq(words["a"])
        tile_words = Signal(TILE_BITS, reset_less=True)
        times = Signal.like(tiles, reset_less=True)
        m.d.sync += [tile_words.eq(words["a"]), times.eq(tiles)]
        block_words = _product(m, "block_words", tile_words, times)
        half_a, half_b = config.half_words("a"), config.half_words("b")
        over_a, over_b, over_tile_b = (
            Signal(reset_less=True, name=name) for name in ("over_a", "over_b", "over_tile_b")
        )
        m.d.sync += [
            over_a.eq(block_words > half_a),
            over_b.eq(block_words > half_b),
            over_tile_b.eq(words["b"] > half_b),
        ]
        m.d.comb += [
            self.block_words.eq(block_words),
            self.overflow.eq(
                (opcode.load_a & over_a) | (opcode.load_b & over_b) | (opcode.exec & (over_a | over_tile_b))
            ),
        ]

        # The bits of a result, its bytes, and the beats of a run: a plane, or a tile and its sums.
        slot_bits = Signal(BITS_WIDTH + 1, reset_less=True)
        result_bits = Signal(7, reset_less=True)
        m.d.sync += [
            slot_bits.eq(self.slot_a.bits + self.slot_b.bits),
            result_bits.eq(slot_bits + drain.k_log2),
            self.result_bytes.eq((result_bits + 7) >> 3),
            self.too_wide.eq(opcode.drain & (result_bits > ACC_BITS)),
        ]
        plane_beats = {}
        for operand in ("a", "b"):
            plane_beats[operand] = beats = Signal(
                RUN_BEATS_WIDTH, name=f"plane_beats_{operand}", reset_less=True
            )
            m.d.sync += beats.eq(_times(ksteps, config.group_bytes(operand) // BEAT_BYTES))
        row_beats = config.cols // BEAT_BYTES
        tile_beats = Signal(RUN_BEATS_WIDTH)
        rows, with_sums = config.rows, config.rows + SUM_ROWS
        for count in range(1, ACC_BITS // 8 + 1):
            with m.If(self.result_bytes == count):
                m.d.comb += tile_beats.eq(
                    Mux(drain.col_sums, row_beats * count * with_sums, row_beats * count * rows)
                )
        with m.If(opcode.drain):
            m.d.sync += self.run.eq(tile_beats)
        with m.Else():
            m.d.sync += self.run.eq(Mux(opcode.load_a, plane_beats["a"], plane_beats["b"]))
        return m


def _bad(bits):
    return (bits == 0) | (bits > MAX_BITS)


def _product(m, name, a, b):
    """``a * b``, both registers, with two registers behind it.

    The last has a reset, unlike one behind it: else synthesis can take both for the next multiplier's input.
    """
    inside = Signal(len(a) + len(b), name=f"{name}_inside", reset_less=True)
    product = Signal(len(a) + len(b), name=f"{name}_product")
    m.d.sync += [inside.eq(a * b), product.eq(inside)]
    return product


def _times(value, factor: int):
    """``value * factor`` by additions: a factor of few bits needs no multiplier."""
    terms = [value << bit for bit in range(factor.bit_length()) if factor >> bit & 1]
    return sum(terms[1:], terms[0])

"""The lanes as an engine: DRAIN and APPLY through one pipeline, a word a cycle."""

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.wide_queue import WideQueue
from cpt.hw.channel.ports import local_read, local_write
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import MAX_BITS
from cpt.hw.contract.floats import Coefficient, Statistic
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.passes import MASK_BITS
from cpt.hw.contract.step import KEYS, MARK_BITS
from cpt.hw.layouts import result_row, result_rows
from cpt.hw.matrix.copies import copies, one_less
from cpt.hw.program.layouts import COMMAND, MARKS
from cpt.hw.vector.apply_walk import ApplyWalk
from cpt.hw.vector.coefficients import Coefficients
from cpt.hw.vector.drain_walk import DrainWalk
from cpt.hw.vector.hash import HASH_BITS
from cpt.hw.vector.kinds import SETTINGS, Decode
from cpt.hw.vector.lane import OPERAND_BITS
from cpt.hw.vector.noise import Noise
from cpt.hw.vector.packers import Packers
from cpt.hw.vector.pool import Pool
from cpt.hw.vector.ports import (
    EARLY_CYCLES,
    channel_memory,
    channel_read,
    code_words,
    early_read,
    early_write,
)
from cpt.hw.vector.reduction import Reduction
from cpt.hw.vector.row import Row
from cpt.hw.vector.statistics import CLEARS, WIDTHS, Statistics
from cpt.hw.vector.walk import OPERANDS, slot_layout

CODE_QUEUE_WORDS = 64
"""Words of codes that are under way or wait for the packer: more than the pipeline holds."""
SETTLING_CYCLES = Decode.latency_cycles + 4
"""From the end of an instruction to settings that are another's, and what stands behind its last slot."""
CODE_PUSHES = 8
"""Copies of what puts codes into their queue: as wide as it is, memory in LUTs has 200 enables."""
_MASK_LANES = 16
"""Lanes that share a copy of whether their codes are masks."""
SIGN_BITS = 4
"""Bits of a sum that share a copy of its sign."""
HELD_BITS = 32
"""Bits of a register that one copy of its enable serves."""


class Lanes(wiring.Component):
    """Drain and apply: two walks that share lanes, coefficients, statistics, noise, ports; drain goes first.

    Parameters: ``words`` of scratch.
    Members: ``drains``, ``applies``: commands; ``marks``: of all engines; ``keys``: of noise; ``drain_done``,
    ``apply_done``: a unit of the mark; ``complete``, ``tile_free``, ``drain_*``: result tiles, as
    `cpt.hw.drain.drain.Drain` has them; ``read_0`` .. ``read_2``, ``write``: the early ports of
    `Scratch`; reads of one cycle lie in different banks;
    ``coefficients``, ``statistics``: of the float engine; ``local_read``, ``local_write``; ``codes``: to
    the packer, ``done``: from it; ``drain_idle``, ``apply_idle``.
    """

    def __init__(self, config: ArrayConfig, words: int):
        self.config, self.words = config, words
        self.row_cycles = MACHINE.channel_memory_cycles
        """Cycles from a slot to its settings at the row of lanes."""
        self.result_cycles = self.row_cycles + Row.latency_cycles
        """... to its result."""
        levels = (config.cols - 1).bit_length()
        self.counted_cycles = self.row_cycles + Row.joint_cycles + levels + 1
        """... to what it adds to statistics."""
        self.end_cycles = self.counted_cycles + Statistics.again_cycles - Statistics.numbers_cycles + 2
        """... to its unit in the mark."""
        if self.end_cycles > self.result_cycles + WideQueue.latency_cycles + Packers.least_cycles:
            raise ValueError("codes may be in memory before what is counted with them")
        super().__init__(
            {
                "drains": In(stream.Signature(COMMAND)),
                "applies": In(stream.Signature(COMMAND)),
                "marks": In(MARKS),
                "keys": In(data.ArrayLayout(HASH_BITS, KEYS)),
                "drain_done": Out(1),
                "apply_done": Out(1),
                "complete": In(1),
                "tile_free": Out(1),
                "drain_en": Out(1),
                "drain_addr": Out(range(MACHINE.step_result_tiles * result_rows(config))),
                "drain_row": In(result_row(config)),
                **{f"read_{n}": Out(early_read(config, words)) for n in range(len(OPERANDS))},
                "write": Out(early_write(config, words)),
                "coefficients": In(channel_memory(len(Coefficient))),
                "statistics": In(channel_read(len(Statistic))),
                "local_read": Out(local_read()),
                "local_write": Out(local_write()),
                "codes": Out(stream.Signature(code_words(config))),
                "done": In(1),
                "drain_idle": Out(1),
                "apply_idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.drain = drain = DrainWalk(self.config, self.words)
        m.submodules.apply = apply = ApplyWalk(self.config, self.words)
        m.submodules.noise = noise = Noise(self.config)
        m.submodules.pool = pool = Pool(self.config)
        m.submodules.row = row = Row(self.config)
        m.submodules.coefficients = coefficients = Coefficients(self.config)
        m.submodules.statistics = statistics = Statistics(self.config)
        m.submodules.reduction = reduction = Reduction(self.config)
        connect(m, flipped(self.drains), drain.commands)
        connect(m, flipped(self.applies), apply.commands)
        connect(m, flipped(self.coefficients), coefficients.float)
        connect(m, flipped(self.statistics), statistics.float)
        connect(m, pool.local_read, flipped(self.local_read))
        connect(m, pool.local_write, flipped(self.local_write))
        self._slots(m, drain, apply)
        self._marks(m, drain, apply)
        m.d.comb += [
            noise.start.eq(apply.noise_start),
            noise.shape.eq(apply.noise_shape),
            noise.keys.eq(self.keys),
            apply.noise_ready.eq(noise.ready),
            pool.fill.eq(apply.fill),
            pool.flush.eq(apply.flush),
            pool.place.eq(apply.place),
            apply.pool_busy.eq(pool.busy),
        ]

        # Into the lanes.
        at, start = self.at, self.row_cycles
        m.d.comb += [
            coefficients.channel.eq(at("channel", 0)),
            row.coefficients.eq(coefficients.coefficients),
            row.settings.eq(self._row_settings(m, start)),
            row.part.eq(at("part", start)),
        ]
        self._products(m, row, start + row.product_cycles)
        self._operands(m, row, start + row.operand_cycles - MACHINE.scratch_cycles - 1 - EARLY_CYCLES)
        step = start + row.noise_cycles - noise.latency_cycles
        asks = start + row.pooled_cycles - pool.latency_cycles
        m.d.comb += [
            noise.step.eq(self.word(step) & self.settings(step).noise),
            noise.stochastic.eq(self.settings(step).noise),
            noise.walk.eq(at("walk", step)),
            row.noise.eq(noise.noise),
            pool.asked.eq(at("index", asks)),
            pool.real.eq(at("real", asks + pool.real_cycles)),
            row.pooled.eq(pool.pooled),
        ]
        inside = self._inside(m, start + row.inside_cycles)
        m.d.comb += row.inside.eq(inside)
        inside = self.later(m, inside, row.latency_cycles - row.inside_cycles, "inside")

        # Out of them.
        end = self.result_cycles
        asks = end - EARLY_CYCLES
        m.d.comb += [
            self.write.valid.eq(self.word(asks) & self.settings(asks).writes),
            self.write.addr.eq(at("out", asks)),
            self.write.data.eq(row.result),
            reduction.result.eq(row.result),
            reduction.joint.eq(row.joint),
            reduction.inside.eq(inside),
        ]
        self._codes(m, apply, row, end)
        counted = self.counted_cycles
        asks = counted - statistics.numbers_cycles
        counts = self._counts(m, reduction, counted)
        m.d.comb += [
            statistics.count.eq(self.word(asks) & self.settings(asks).counts),
            statistics.channel.eq(at("channel", asks)),
            statistics.clear.eq(Cat(copies(m, at("clear", counted - 1), CLEARS, "clears"))),
            *(getattr(statistics, name).eq(value) for name, value in counts.items()),
            pool.count.eq(self.word(asks) & self.settings(asks).pools),
            pool.channel.eq(at("index", asks)),
            pool.clear.eq(at("fresh", counted)),
            pool.total.eq(counts["total"][: len(pool.total)]),
        ]
        return m

    def _counts(self, m, reduction, cycle: int) -> dict:
        """What a word adds to statistics in ``cycle``: registers, with copies of signs that many bits are."""
        settings = self.settings(cycle - 2)
        through = {
            name: copies(m, flag, 2, f"through_{name}")
            for name, flag in (
                ("total", ~settings.highest_alone),
                ("product", settings.joint),
                ("lowest", ~settings.highest_alone),
            )
        }
        found = {}
        for which, width in WIDTHS.items():
            name = which.name.lower()
            source = getattr(reduction, name)
            if name in through:
                halves = -(-len(source) // 2), len(source) // 2
                gate = Cat(flag.replicate(bits) for flag, bits in zip(through[name], halves, strict=True))
                source = (source.as_unsigned() & gate).as_signed()
            value = Signal(len(source) - 1, name=f"counted_{name}", reset_less=True)
            m.d.sync += value.eq(source)
            spare = width - len(value)
            signs = copies(m, source[-1], -(-spare // SIGN_BITS), f"sign_{name}")
            found[name] = Cat(value, *(sign.replicate(SIGN_BITS) for sign in signs))[:width].as_signed()
        return found

    def later(self, m, source, cycles: int, name: str):
        """``source`` so many cycles on."""
        for n in range(cycles):
            late = Signal(source.shape(), name=f"{name}_{n + 1}", reset_less=True)
            m.d.sync += late.eq(source)
            source = late
        return source

    def _slots(self, m, drain, apply) -> None:
        """The slot of each cycle, and every one that is still in the lanes."""
        layout = slot_layout(self.config, self.words)
        self.lines, self.valid, self.drains_at = [], [], []
        for n in range(self.end_cycles + 1):
            self.lines.append(Signal(layout, name=f"slot_{n}", reset_less=True))
            self.valid.append(Signal(name=f"valid_{n}"))
            self.drains_at.append(Signal(name=f"drains_{n}"))
        m.d.comb += apply.go.eq(drain.rests)
        m.d.sync += [self.valid[0].eq(drain.valid | apply.valid), self.drains_at[0].eq(drain.valid)]
        bits = layout.size
        for n, drains in enumerate(copies(m, drain.coming, -(-bits // HELD_BITS), "drains_slot")):
            part = slice(n * HELD_BITS, min(bits, (n + 1) * HELD_BITS))
            ways = [walk.slot.as_value()[part] for walk in (drain, apply)]
            m.d.sync += self.lines[0].as_value()[part].eq(Mux(drains, *ways))
        for lines in (self.lines, self.valid, self.drains_at):
            m.d.sync += [after.eq(before) for before, after in pairwise(lines)]
        # Instructions of an engine follow each other when its last slot is out, so settings need not travel.
        self.drain_walk, self.apply_walk = drain, apply

    def at(self, name: str, cycle: int):
        """A member of the slot that came so many cycles ago."""
        return getattr(self.lines[cycle], name)

    def word(self, cycle: int):
        """Whether that slot was a word's last."""
        return self.valid[cycle] & self.at("final", cycle)

    def settings(self, cycle: int):
        """Of its instruction."""
        walks = self.drain_walk, self.apply_walk
        return data.View(SETTINGS, Mux(self.drains_at[cycle], *(walk.settings.as_value() for walk in walks)))

    def _row_settings(self, m, cycle: int):
        """The same for all of a row of lanes, by copies of what chooses."""
        walks = [walk.settings.as_value() for walk in (self.drain_walk, self.apply_walk)]
        bits = len(walks[0])
        parts = []
        for n, drains in enumerate(copies(m, self.drains_at[cycle - 1], -(-bits // HELD_BITS), "drains_row")):
            part = slice(n * HELD_BITS, (n + 1) * HELD_BITS)
            parts.append(Mux(drains, *(settings[part] for settings in walks)))
        return data.View(SETTINGS, Cat(parts))

    def _products(self, m, row, cycle: int) -> None:
        """Rows of result tiles to the lanes in ``cycle``, and the sums that the rows behind them need."""
        asks = cycle - MACHINE.result_buffer_cycles
        drains = [self.valid[n] & self.drains_at[n] for n in range(cycle)]
        m.d.comb += [
            self.drain_en.eq(drains[asks]),
            self.drain_addr.eq(self.at("row", asks)),
            self.tile_free.eq(drains[asks] & self.at("frees", asks)),
            row.product.eq(self.drain_row),
        ]
        bits = row.sums.as_value().shape().width
        parts = -(-bits // HELD_BITS)
        taken = copies(m, drains[-1] & self.at("sums", cycle - 1), parts, "takes_sums")
        sums = Signal.like(row.sums, reset_less=True)
        fresh = Cat(number[:OPERAND_BITS] for number in (self.drain_row[n] for n in range(self.config.cols)))
        for n, take in enumerate(taken):
            low, high = n * HELD_BITS, min(bits, (n + 1) * HELD_BITS)
            with m.If(take):
                m.d.sync += sums.as_value()[low:high].eq(fresh[low:high])
        m.d.comb += row.sums.eq(sums)

    def _operands(self, m, row, cycle: int) -> None:
        """Words of scratch, asked for in ``cycle``, held until the last of a word's is there."""
        for n, name in enumerate(OPERANDS):
            port = getattr(self, f"read_{n}")
            reads = Signal(name=f"reads_{name}")
            m.d.sync += reads.eq(self.valid[cycle - 1] & self.at("reads", cycle - 1)[n])
            m.d.comb += [port.valid.eq(reads), port.addr.eq(self.at(name, cycle))]
            arrives = self.later(m, reads, EARLY_CYCLES + MACHINE.scratch_cycles - 1, f"arrives_{name}")
            held = Signal.like(port.data, name=f"held_{name}", reset_less=True)
            bits = held.as_value().shape().width
            for part, take in enumerate(copies(m, arrives, -(-bits // HELD_BITS), f"takes_{name}")):
                piece = slice(part * HELD_BITS, min(bits, (part + 1) * HELD_BITS))
                with m.If(take):
                    m.d.sync += held.as_value()[piece].eq(port.data.as_value()[piece])
            m.d.comb += getattr(row, name).eq(held)

    def _inside(self, m, cycle: int):
        """Lanes that hold a pixel of the image, a register."""
        before = cycle - 1
        walks = self.drain_walk, self.apply_walk
        across, down = (
            Mux(drains, *(getattr(walk, name) for walk in walks))
            for name, drains in zip(
                ("across", "down"), copies(m, self.drains_at[before - 1], 2, "drains_inside"), strict=True
            )
        )
        lanes = self.config.cols
        inside = Signal(lanes, reset_less=True)
        m.d.sync += inside.eq(
            (across | ~self.at("right", before).replicate(lanes))
            & (down | ~self.at("bottom", before).replicate(lanes))
        )
        return inside

    def _codes(self, m, apply, row, cycle: int) -> None:
        """Codes wait for the packer in a queue; a group starts when it has room for it."""
        m.submodules.queue = queue = WideQueue(code_words(self.config), CODE_QUEUE_WORDS, CODE_PUSHES)
        connect(m, queue.o, flipped(self.codes))
        group = self.config.group_channels
        comes = self.word(cycle - 1) & self.settings(cycle - 1).codes
        masks, *of_lanes = copies(
            m, self.settings(cycle - 1).masks, 1 + -(-self.config.cols // _MASK_LANES), "masks"
        )
        for lane in range(self.config.cols):
            number = row.result[lane]
            low = Mux(of_lanes[lane // _MASK_LANES], row.above[lane], number[0])
            m.d.comb += queue.payload.codes[lane].eq(Cat(low, number[1:MAX_BITS]))
        m.d.comb += [
            queue.push.eq(Cat(copies(m, comes, CODE_PUSHES, "codes_come", reset_less=False))),
            queue.payload.address.eq(self.at("address", cycle)),
            queue.payload.bits.eq(Mux(masks, MASK_BITS, apply.bits)),
            queue.payload.first.eq(self.at("first", cycle)),
            queue.payload.last.eq(self.at("last", cycle)),
        ]
        room = Signal(range(CODE_QUEUE_WORDS + 1), init=CODE_QUEUE_WORDS)
        taken = Signal()
        given = Signal()
        m.d.comb += apply.room.eq(room >= group)
        # What is taken in a cycle is counted in the next; so is what left.
        m.d.sync += [
            taken.eq(self.codes.valid & self.codes.ready),
            given.eq(apply.takes_room),
            room.eq(room + taken - Mux(given, group, 0)),
        ]

    def _marks(self, m, drain, apply) -> None:
        """Counts of what is finished, of slots in the lanes, and of units under way."""
        end = self.end_cycles
        ended = self.word(end) & self.at("ends", end)
        ends = [Signal(name=f"{name}_ends") for name in ("drain", "apply")]
        codes = self.settings(end).codes
        m.d.sync += [
            ends[0].eq(ended & self.drains_at[end]),
            ends[1].eq((ended & ~self.drains_at[end] & ~codes) | self.done | apply.flushed),
        ]
        under_way = Signal(MARK_BITS)
        begins = Signal()
        settled = Signal(init=1)
        m.d.sync += [
            begins.eq(apply.begins),
            under_way.eq(under_way + begins - ends[1]),
            settled.eq((under_way == 0) & ~ends[1]),
        ]
        m.d.comb += [
            self.drain_done.eq(ends[0]),
            self.apply_done.eq(ends[1]),
            apply.settled.eq(settled),
        ]
        # Slots go through in so many cycles; of the settings the last one still sees what it needs when the
        # next command is taken in a little before that.
        for walk in (drain, apply):
            rest = Signal(range(end + 3))
            early = Signal(init=1)
            empty = Signal(init=1)
            m.d.sync += [
                rest.eq(Mux(walk.working, end + 2, Mux(rest.any(), one_less(rest), 0))),
                early.eq(~walk.working & (rest <= SETTLING_CYCLES)),
                empty.eq(~walk.working & (rest <= 1)),
            ]
            m.d.comb += [walk.marks.eq(self.marks), walk.early.eq(early), walk.empty.eq(empty)]
        m.d.comb += [
            self.drain_idle.eq(drain.idle & drain.empty),
            self.apply_idle.eq(apply.idle & apply.empty),
        ]
        self._there(m, drain)

    def _there(self, m, drain) -> None:
        """Result tiles that are collected and not begun."""
        waiting = Signal(range(MACHINE.step_result_tiles + 1))
        begins = Signal()
        m.d.sync += [begins.eq(drain.begins), waiting.eq(waiting + self.complete - begins)]
        m.d.comb += drain.there.eq(waiting != 0)

"""EXEC and EXEC_DW: steps for the array, with words of A in its buffer and of B in the window memories."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import ALL_TAPS, TAPS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.passes import Sampling
from cpt.hw.contract.step import Code
from cpt.hw.contract.tiles import COPIES
from cpt.hw.fetch.held import hold
from cpt.hw.fetch.window_memory import HALVES
from cpt.hw.layouts import exec_command, step_layout
from cpt.hw.matrix.blocks import PLAN, Blocks, block_layout
from cpt.hw.matrix.copies import copies
from cpt.hw.matrix.executor import Executor
from cpt.hw.program.gate import Gate
from cpt.hw.program.layouts import COMMAND, MARKS, fields, waits

WORKED_OUT_CYCLES = 4
"""From a command in its register to all that follows from it."""

_INTO = ("a_loaded", "collected", "tile_free", "stop")
_OUT_OF = ("a_release", "busy", "wait_fetch", "wait_drain")
"""Members that are the executor's."""


class ExecEngine(wiring.Component):
    """Takes EXEC and EXEC_DW in order: tiles of pixels, or of taps and channels, times tiles of rows.

    A slot of the window memories is a block of B, or all the taps of one or two groups; of a depth-wise layer
    each tile of rows takes a K step of the slot, its own. The `Executor` counts
    words within a block; here they become addresses of both halves of the columns.

    Parameters: ``config``.
    Members: ``commands`` (in), ``marks``: as `Gate` takes them, looked at once an instruction; ``tiles`` (in)
    and ``release``: slots of the fetch; ``a_loaded``, ``a_release``: blocks of A; ``collected``,
    ``tile_free``, ``stop``, ``busy``, ``wait_fetch``, ``wait_drain`` as in `Executor`; ``valid``, ``step``:
    as in `Array`, where ``b_addr`` (by half) stands beside; ``idle``.
    """

    latency_cycles = 2
    """From a step of the executor to its addresses."""

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "commands": In(stream.Signature(COMMAND)),
                "marks": In(MARKS),
                "tiles": In(stream.Signature(range(config.b_depth_words))),
                "step": Out(step_layout(config)),
                "b_addr": Out(range(config.b_depth_words)).array(HALVES),
                **{name: In(1) for name in _INTO},
                **{name: Out(1) for name in (*_OUT_OF, "valid", "release")},
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.executor = executor = Executor(self.config, MACHINE.step_result_tiles)
        m.submodules.blocks = blocks = Blocks(self.config)
        connect(m, flipped(self.tiles), blocks.tiles)
        for name in _INTO:
            m.d.comb += getattr(executor, name).eq(getattr(self, name))
        for name in _OUT_OF:
            m.d.comb += getattr(self, name).eq(getattr(executor, name))
        waiting = self._command(m, executor, blocks)
        self._addresses(m, executor, blocks)
        m.d.sync += self.idle.eq(executor.idle & blocks.idle & ~waiting & ~self.commands.valid)
        return m

    def _command(self, m, executor, blocks):
        """From the queue, behind its gate, to executor and blocks; whether one is here."""
        m.submodules.gate = gate = Gate(once=True)
        done = Signal()
        ended = Signal()
        held, (fresh,), vacant = hold(m, self.commands, Const(1), ended, 1)
        waiting = ~vacant
        known = Signal(WORKED_OUT_CYCLES - 1)
        m.d.comb += [
            gate.marks.eq(self.marks),
            gate.load.eq(fresh),
            *(gate.waits[index].eq(wait) for index, wait in enumerate(waits(held.word))),
        ]
        plain, along = fields(Code.EXEC)(held.word), fields(Code.EXEC_DW)(held.word)
        pixels, pixels_too = copies(m, plain.code == Code.EXEC_DW, 2, "pixels")
        own = Signal(reset_less=True)
        command = Signal(exec_command(self.config), reset_less=True)
        plan = Signal(PLAN, reset_less=True)
        ksteps = Signal.like(command.ksteps, reset_less=True)
        low, high, top = (
            Signal.like(command.a_tile_words, name=n, reset_less=True) for n in ("low", "high", "top")
        )
        bits = held.slot_a.bits
        pairs = Signal.like(plan.pairs, reset_less=True)
        m.d.sync += [
            own.eq((plain.code == Code.EXEC) & plain.own),
            ksteps.eq(Mux(pixels, along.rows, plain.ksteps)),
            low.eq(Mux(bits[0], ksteps, 0) + (Mux(bits[1], ksteps, 0) << 1)),
            high.eq((Mux(bits[2], ksteps, 0) << 2) + (Mux(bits[3], ksteps, 0) << 3)),
            top.eq(low + high + Mux(bits[4], ksteps << 4, 0)),
            pairs.eq((along.groups + 1) >> 1),
            command.a.eq(held.slot_a),
            command.b.eq(held.slot_b),
            command.ksteps.eq(ksteps),
            command.tiles.eq(Mux(pixels_too, along.a_tiles, plain.a_tiles)),
            command.blocks.eq(Mux(pixels_too, self._columns(along, pairs), plain.tiles)),
            command.first.eq(1),
            command.last.eq(1),
            command.release_a.eq(1),
            command.taps.eq(ALL_TAPS),
            command.b_plane_words.eq(Mux(pixels, COPIES, Mux(own, plain.a_tiles, ksteps))),
            plan.pixels.eq(pixels),
            plan.own.eq(own),
            plan.kernel3.eq(along.kernel),
            plan.single.eq(along.groups == 1),
            plan.blocks.eq(plain.tiles),
            plan.pairs.eq(pairs),
            plan.stride2.eq(along.sampling == Sampling.STRIDE),
            plan.row_words.eq(held.slot_b.bits + (held.slot_b.bits << 1)),
        ]
        m.d.comb += command.a_tile_words.eq(top)
        known_all = Signal()
        given = Signal(2)
        """``given``: the executor has it, the blocks have it."""
        parts = (executor.commands, blocks.plans)
        m.d.sync += [
            known.eq(Mux(waiting, (known << 1) | 1, 0)),
            known_all.eq(waiting & known[-1] & gate.open & ~done & ~ended),
            ended.eq(done),
        ]
        m.d.comb += [
            executor.commands.payload.eq(command),
            blocks.plans.payload.eq(plan),
            *(part.valid.eq(known_all & ~given[n]) for n, part in enumerate(parts)),
        ]
        taken = Cat(part.valid & part.ready for part in parts)
        m.d.comb += done.eq((given | taken).all())
        # Gates, not a choice: that would become a reset, a further net.
        m.d.sync += given.eq((given | taken) & ~done.replicate(len(given)))
        return waiting

    @staticmethod
    def _columns(along, pairs):
        """Tiles of columns of an EXEC_DW."""
        of_one = Mux(along.kernel, -(-TAPS // HALVES), 1)
        return Mux(along.groups == 1, of_one, Mux(along.kernel, pairs + (pairs << 3), pairs))

    def _addresses(self, m, executor, blocks):
        """Words of a block to addresses; blocks lie in two places by turns, as the executor counts halves."""
        layout = block_layout(self.config)
        places = [Signal(layout, name=f"block_{n}", reset_less=True) for n in range(MACHINE.halves)]
        free = Signal(range(MACHINE.halves + 1), init=MACHINE.halves)
        into = Signal()
        leaving = Signal()
        loads = Signal()
        m.d.comb += [
            blocks.blocks.ready.eq(free != 0),
            loads.eq(blocks.blocks.valid & blocks.blocks.ready),
        ]
        released = [executor.b_release]
        for n in range(self.latency_cycles):
            later = Signal(name=f"released_{n}")
            m.d.sync += later.eq(released[-1])
            released.append(later)
        m.d.sync += [
            free.eq(free + released[-1] - loads),
            into.eq(into ^ loads),
            leaving.eq(leaving ^ released[-1]),
            executor.b_loaded.eq(loads),
            self.release.eq(released[-1] & Mux(leaving, places[1].releases, places[0].releases)),
        ]
        for n, place in enumerate(places):
            with m.If(loads & (into == n)):
                m.d.sync += place.eq(blocks.blocks.payload)

        step = executor.step
        word, half = step.b_addr[:-1], step.b_addr[-1]
        valid = Signal()
        fresh = Signal(reset_less=True)
        offset = Signal.like(word, reset_less=True)
        # The tile of rows in its block: where each takes its own K step, that is a word further for each.
        tile = Signal(fields(Code.EXEC)["a_tiles"].shape)
        own = Mux(half, places[1].own, places[0].own)
        with m.If(executor.valid & step.capture):
            m.d.sync += tile.eq(Mux(own & ~executor.b_release, tile + 1, 0))
        bases = [
            Signal.like(address, name=f"base_{n}", reset_less=True) for n, address in enumerate(self.b_addr)
        ]
        stride = Signal.like(places[0].stride, name="stride", reset_less=True)
        m.d.sync += [
            stride.eq(Mux(half, places[1].stride, places[0].stride)),
            valid.eq(executor.valid),
            fresh.eq(step.fresh),
            offset.eq(word + tile),
            *(base.eq(Mux(half, places[1].base[n], places[0].base[n])) for n, base in enumerate(bases)),
        ]
        with m.If(valid):
            m.d.sync += [
                address.eq(Mux(fresh, base + offset, address + stride))
                for address, base in zip(self.b_addr, bases, strict=True)
            ]
        flags = Signal.like(step, name="flags", reset_less=True)
        m.d.sync += [flags.eq(step), self.step.eq(flags), self.valid.eq(valid)]

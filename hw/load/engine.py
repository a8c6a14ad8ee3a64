"""The engine LOAD: weights, and errors of a dW product, into halves of operand A's buffer."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.axi import MASTER_STATE, READ_STREAMS
from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.tiles import PIECES
from cpt.hw.control.guard import Guard
from cpt.hw.control.reach import WINDOW
from cpt.hw.fetch.errors import Errors
from cpt.hw.fetch.held import hold
from cpt.hw.fetch.pieces import Pieces
from cpt.hw.fetch.pixel_walker import PixelWalker
from cpt.hw.fetch.reader import PORTS, Reader, run_words
from cpt.hw.fetch.window_memory import write_parts
from cpt.hw.load.command import LoadCommand
from cpt.hw.load.gearbox import Gearbox
from cpt.hw.load.operand_buffer import OperandBuffer
from cpt.hw.load.placer import Placer
from cpt.hw.load.walker import Walker
from cpt.hw.matrix.copies import MOST_LOADS, copies, spread
from cpt.hw.memory_ports import read_port
from cpt.hw.program.gate import Gate
from cpt.hw.program.layouts import COMMAND, MARKS, waits


class _Parts:
    """A word as operand A's buffer holds it: parts of a ninth with a bit or more of the last ninth each.

    So block RAM's bytes of nine bits are enough for enables of their own, and errors, of which every part is
    written, clear the last ninth, which they leave out, as they come.
    """

    def __init__(self, config: ArrayConfig) -> None:
        self.count = PIECES * write_parts(config)
        self.own = config.group_channels // write_parts(config)
        self.last = -(-config.group_channels // self.count)
        self.word_bits = self.count * (self.own + self.last)
        self._first_of_last = PIECES * config.group_channels

    def packed(self, word):
        """The buffer's word of one of the array's."""
        first, parts = self._first_of_last, []
        for n in range(self.count):
            last = word[first + n * self.last :][: self.last]
            parts += [word[n * self.own :][: self.own], last, Const(0, self.last - len(last))]
        return Cat(parts)

    def unpacked(self, held):
        """The array's word of one of the buffer's."""
        parts = [held.word_select(n, self.own + self.last) for n in range(self.count)]
        lasts = Cat(part[self.own :] for part in parts)
        return Cat(*(part[: self.own] for part in parts), lasts)[
            : self._first_of_last + self._first_of_last // PIECES
        ]


class LoadEngine(wiring.Component):
    """Takes LOAD_A and LOAD_E in order, a block each, into halves of operand A's buffer by turns.

    A block begins when its marks are there and a half is free, and the next one while it comes; but not one
    of the other kind, since both share the way from memory. Weights come through port 0, runs of errors
    through both in turn.

    Parameters: ``config``.
    Members: ``commands`` (in); ``marks``: as `Gate` takes them; ``window``, ``leaves``, ``misaligned``: as in
    `Guard`, for all runs; ``ar_0``, ``r_0``, ``ar_1``, ``r_1`` (AXI); ``read`` of the buffer, as in
    `OperandBuffer`; ``loaded``: the last word of a block is being written; ``done``: the same, for the mark;
    ``release``: EXEC has finished with a block; ``bad``: half of the buffer does not hold a block, and none
    begins until the reset;
    ``stop``, ``error``, ``idle``, ``quiet`` as in `Reader`.
    Weights come a beat a cycle, errors as `Errors` takes them.
    """

    read_cycles = OperandBuffer.latency_cycles

    def __init__(self, config: ArrayConfig):
        self.config = config
        ports = {f"{name}_{n}": member for n in range(PORTS) for name, member in READ_STREAMS.items()}
        super().__init__(
            {
                "commands": In(stream.Signature(COMMAND)),
                "marks": In(MARKS),
                "window": In(WINDOW),
                **ports,
                "read": In(read_port(config.a_depth_words, config.word_bits, config.rows)),
                "loaded": Out(1),
                "done": Out(1),
                "release": In(1),
                "leaves": Out(1),
                "misaligned": Out(1),
                "bad": Out(1),
                **MASTER_STATE,
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.walker = walker = Walker(config, "a")
        m.submodules.pixels = pixels = PixelWalker(config)
        m.submodules.pieces = pieces = Pieces()
        m.submodules.reader = reader = Reader(run_words(config), shared=True)
        m.submodules.gearbox = gearbox = Gearbox(config.rows, config.word_bits)
        m.submodules.placer = placer = Placer(config.half_words("a"))
        m.submodules.errors = errors = Errors(config)
        m.submodules.begun = begun = Outstanding(MACHINE.halves)
        vacant, along = self._command(m, walker, pixels, errors, begun)

        connect(m, pixels.runs, pieces.runs)
        connect(m, reader.words, errors.words)
        connect(m, walker.blocks, placer.blocks)
        self._runs(m, along, pieces.pieces, walker.runs, reader)
        for n in range(PORTS):
            connect(m, getattr(reader, f"ar_{n}"), flipped(getattr(self, f"ar_{n}")))
            connect(m, flipped(getattr(self, f"r_{n}")), getattr(reader, f"r_{n}"))
        m.d.comb += [
            walker.stop.eq(self.stop),
            walker.release.eq(walker.blocks.valid),  # who counts halves is here
            reader.stop.eq(self.stop),
            gearbox.beat_valid.eq(reader.beat_valid),
            gearbox.beat.eq(reader.beat),
            placer.coming.eq(gearbox.coming[0]),
            placer.skip.eq(errors.loaded),
        ]
        errors_loaded = Signal()
        m.d.sync += [
            errors_loaded.eq(errors.loaded),
            self.idle.eq(vacant & begun.none & reader.idle & ~self.commands.valid),
        ]
        m.d.comb += [
            self.loaded.eq(placer.loaded | errors_loaded),
            self.done.eq(self.loaded),
            begun.finish.eq(self.loaded),
            self.error.eq(reader.error),
            self.quiet.eq(reader.quiet),
        ]
        self._buffer(m, along, errors, gearbox, placer)
        return m

    def _runs(self, m, along, errors, weights, reader):
        """Runs of the kind at hand through the guard to what reads them."""
        m.submodules.guard = guard = Guard()
        asked = guard.asked
        halves = len(asked.payload.as_value()) // MOST_LOADS + 1
        m.d.comb += [
            guard.window.eq(self.window),
            self.leaves.eq(guard.leaves),
            self.misaligned.eq(guard.misaligned),
            asked.valid.eq(Mux(along, errors.valid, weights.valid)),
            errors.ready.eq(asked.ready & along),
            weights.ready.eq(asked.ready & ~along),
        ]
        for n, chosen in enumerate(copies(m, along, halves, "along")):
            part = slice(MOST_LOADS * n, MOST_LOADS * (n + 1))
            ways = [way.payload.as_value()[part] for way in (errors, weights)]
            m.d.comb += asked.payload.as_value()[part].eq(Mux(chosen, *ways))
        connect(m, guard.runs, reader.runs)
        m.d.sync += reader.direct.eq(~along)

    def _command(self, m, walker, pixels, errors, begun):
        """From the queue to walkers and transposer; whether none is held, and whether errors come."""
        m.submodules.halves = halves = Outstanding(MACHINE.halves)
        m.submodules.gate = gate = Gate(once=True)
        m.submodules.known = known = LoadCommand(self.config)
        ended = Signal()
        held, begins, vacant = hold(m, self.commands, Const(1), ended, 2)
        ready, start, started, along, turn = (
            Signal(name=name) for name in ("ready", "start", "started", "along", "turn")
        )
        offers = Signal(3)
        """``offers``: a walker, or the transposer, has yet to take it."""
        m.d.comb += [
            gate.marks.eq(self.marks),
            gate.load.eq(begins[0]),
            *(gate.waits[index].eq(wait) for index, wait in enumerate(waits(held.word))),
            known.begin.eq(begins[1]),
            known.command.eq(held),
            halves.issue.eq(start),
            halves.finish.eq(self.release),
            begun.issue.eq(start),
            ended.eq(started & ~offers.any()),
        ]
        free = Signal()
        """The next one may begin, but for what it waits for."""
        m.d.sync += [
            ready.eq(~vacant & (ready | known.done)),
            free.eq(~halves.full & (begun.none | (along == known.pixels)) & ~start & ~known.bad),
            self.bad.eq(self.bad | (ready & known.bad)),
            start.eq(ready & ~vacant & gate.open & free & ~start & ~started),
            started.eq(~ended & (started | start)),
            turn.eq(turn ^ ended),
        ]
        with m.If(start):
            m.d.sync += along.eq(known.pixels)

        # What begins takes the half that is next.
        ways = [
            (walker.commands, known.weights, ~known.pixels),
            (pixels.walks, known.walk, known.pixels),
            (errors.commands, known.errors, known.pixels),
        ]
        for offer, (way, payload, mine) in zip(offers, ways, strict=True):
            m.d.comb += [way.valid.eq(offer), way.payload.eq(payload)]
            m.d.sync += offer.eq((start & mine) | (offer & ~way.ready))
        slots = errors.slots
        half = Signal()
        with m.If(errors.commands.valid & errors.commands.ready):
            m.d.sync += half.eq(turn)
        m.d.comb += [
            slots.base.eq(Mux(half, self.config.half_words("a"), 0)),
            slots.granted.eq(slots.wanted),
        ]
        return vacant, along

    def _buffer(self, m, along, errors, gearbox, placer):
        """Groups of weights, or pieces of errors, to words; both a cycle behind their address."""
        config, parts = self.config, _Parts(self.config)
        group = config.group_channels
        m.submodules.buffer = buffer = OperandBuffer(
            config.rows, parts.word_bits, config.a_depth_words, parts.count
        )
        write, of_ninth = errors.write, write_parts(config)
        (to_errors,) = copies(m, along, 1, "to_errors")
        enables = [write.piece[n // of_ninth] & write.parts[n % of_ninth] for n in range(parts.count)]
        m.d.comb += [
            buffer.write.en.eq(Cat(gearbox.coming[1] | enable for enable in enables)),
            buffer.write.addr.eq(Mux(to_errors, write.addr, placer.addr)),
            buffer.read.addr.eq(self.read.addr),
        ]
        data = Signal.like(write.data, name="errors_data", reset_less=True)
        m.d.sync += data.eq(write.data)
        shared = -(-config.word_bits // MOST_LOADS)
        selects = spread(m, along, config.rows * shared, "select")
        for row in range(config.rows):
            pieces = Cat(*(data[row] for _ in range(PIECES)), Const(0, group))
            words = []
            for n in range(shared):
                part = slice(MOST_LOADS * n, MOST_LOADS * (n + 1))
                words.append(Mux(selects[row * shared + n], pieces[part], gearbox.words[row][part]))
            m.d.comb += [
                buffer.write.data[row].eq(parts.packed(Cat(words))),
                self.read.data[row].eq(parts.unpacked(buffer.read.data[row])),
            ]

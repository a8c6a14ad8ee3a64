"""The order of steps: anti-diagonals of plane pairs, tiles, blocks."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.layouts import exec_command, step_layout


class Sequencer(wiring.Component):
    """Position within an EXEC command; moves on by one step whenever ``issue`` is high.

    Steps come in the order of `cpt.hw.contract.order`, with all of its bubbles; a bubble's addresses mean
    nothing.

    Parameters: ``config``.
    Members: ``commands`` (in); ``active``: a command is held; ``step``: its current step (buffer halves and
    result tile left zero); ``tile_last``, ``block_last``, ``command_last``: it is the last of its kind;
    ``first``, ``release_a``: of the command; ``issue``: take the step. The next command follows without a
    gap.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        self._command = exec_command(config)
        super().__init__(
            {
                "commands": In(stream.Signature(self._command)),
                "issue": In(1),
                "active": Out(1),
                "step": Out(step_layout(config)),
                "tile_last": Out(1),
                "block_last": Out(1),
                "command_last": Out(1),
                "first": Out(1),
                "release_a": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        command = Signal(self._command)

        # An operand position is its plane and that plane's first word. `start`: the diagonal's lowest plane
        # of A. `rotated`: the diagonal began with its second pair; `wrapped`: it is at its first, the last.
        k = Signal.like(command.ksteps)
        plane_a, plane_b = Signal.like(command.a.bits), Signal.like(command.b.bits)
        word_a, word_b = Signal(range(config.half_words("a"))), Signal(range(config.half_words("b")))
        start_plane_a, start_plane_b = Signal.like(plane_a), Signal.like(plane_b)
        start_word_a, start_word_b = Signal.like(word_a), Signal.like(word_b)
        tile_top_a = Signal.like(word_a)
        tiles_left, blocks_left = Signal.like(command.tiles), Signal.like(command.blocks)
        clear, double, bubble = Signal(), Signal(), Signal()
        rotated, wrapped = Signal(), Signal()

        k_last, run_last, top_a, top_b = Signal(), Signal(), Signal(), Signal()
        negative_a, negative_b = Signal(), Signal()
        # Of the diagonal behind this one.
        rotates, all_negative = Signal(), Signal()
        m.d.comb += [
            k_last.eq(k == command.ksteps - 1),
            top_a.eq(plane_a == command.a.bits - 1),
            top_b.eq(plane_b == command.b.bits - 1),
            run_last.eq(top_a | (plane_b == 0)),
            negative_a.eq(top_a & command.a.signed),
            negative_b.eq(top_b & command.b.signed),
            self.tile_last.eq(k_last & ~bubble & (start_plane_a == 0) & (start_plane_b == 0)),
            self.block_last.eq(self.tile_last & (tiles_left == 1)),
            self.command_last.eq(self.block_last & (blocks_left == 1)),
            self.first.eq(command.first),
            self.release_a.eq(command.release_a),
            self.step.a_addr[:-1].eq(word_a + k),
            self.step.b_addr[:-1].eq(word_b + k),
            self.step.clear.eq(clear),
            self.step.double.eq(double),
            self.step.count.eq(~bubble),
            self.step.subtract.eq(~bubble & (negative_a ^ negative_b)),
            self.step.b_subtract.eq(~bubble & negative_b),
            self.step.taps.eq(Mux(plane_a == 0, command.taps, 0)),
            self.step.capture.eq(self.tile_last),
            self.step.collect.first.eq(command.first),
            self.step.collect.last.eq(command.last),
        ]

        one_a, one_b, second = command.a.bits == 1, command.b.bits == 1, start_plane_a == command.a.bits - 1
        with m.If(start_plane_a != 0):
            # It starts at the top plane of B, negative in all its pairs but perhaps that at the top of A.
            m.d.comb += [
                rotates.eq(command.b.signed & ~one_b),
                all_negative.eq(command.b.signed & (one_b | (command.a.signed & second))),
            ]
        with m.Else():
            m.d.comb += all_negative.eq(command.a.signed & one_a)

        def begin_tile(source, top_word_a):
            """Both operands at their top planes: the diagonal of the highest weight."""
            return [
                clear.eq(1),
                bubble.eq(0),
                rotated.eq(0),
                wrapped.eq(0),
                *(plane.eq(source.a.bits - 1) for plane in (plane_a, start_plane_a)),
                *(plane.eq(source.b.bits - 1) for plane in (plane_b, start_plane_b)),
                *(word.eq(top_word_a) for word in (word_a, start_word_a, tile_top_a)),
                *(word.eq(source.b_top_words) for word in (word_b, start_word_b)),
            ]

        with m.If(self.issue & bubble):
            m.d.sync += [bubble.eq(0), double.eq(0)]
        with m.Elif(self.issue):
            m.d.sync += [k.eq(k + 1), clear.eq(0), double.eq(0)]
            with m.If(k_last):
                m.d.sync += k.eq(0)
                with m.If(run_last & rotated & ~wrapped):
                    m.d.sync += [
                        wrapped.eq(1),
                        plane_a.eq(start_plane_a),
                        word_a.eq(start_word_a),
                        plane_b.eq(start_plane_b),
                        word_b.eq(start_word_b),
                    ]
                with m.Elif(~run_last & ~wrapped):
                    m.d.sync += [
                        plane_a.eq(plane_a + 1),
                        word_a.eq(word_a + command.ksteps),
                        plane_b.eq(plane_b - 1),
                        word_b.eq(word_b - command.ksteps),
                    ]
                with m.Elif(~self.tile_last):
                    m.d.sync += [
                        double.eq(1),
                        bubble.eq(all_negative),
                        rotated.eq(rotates),
                        wrapped.eq(0),
                        plane_a.eq(start_plane_a),
                        word_a.eq(start_word_a),
                        plane_b.eq(start_plane_b),
                        word_b.eq(start_word_b),
                    ]
                    with m.If(start_plane_a != 0):
                        m.d.sync += [
                            start_plane_a.eq(start_plane_a - 1),
                            start_word_a.eq(start_word_a - command.ksteps),
                        ]
                        with m.If(rotates):
                            m.d.sync += [
                                plane_b.eq(start_plane_b - 1),
                                word_b.eq(start_word_b - command.ksteps),
                            ]
                        with m.Else():
                            m.d.sync += [
                                plane_a.eq(start_plane_a - 1),
                                word_a.eq(start_word_a - command.ksteps),
                            ]
                    with m.Else():
                        m.d.sync += [reg.eq(start_plane_b - 1) for reg in (plane_b, start_plane_b)]
                        m.d.sync += [reg.eq(start_word_b - command.ksteps) for reg in (word_b, start_word_b)]
                with m.Else():
                    m.d.sync += tiles_left.eq(tiles_left - 1)
                    m.d.sync += begin_tile(command, tile_top_a + command.a_tile_words)
                    with m.If(self.block_last):
                        m.d.sync += [tiles_left.eq(command.tiles), blocks_left.eq(blocks_left - 1)]
                        m.d.sync += begin_tile(command, command.a_top_words)
        finishing = self.issue & self.command_last
        m.d.comb += self.commands.ready.eq(~self.active | finishing)
        with m.If(finishing):
            m.d.sync += self.active.eq(0)
        with m.If(self.commands.valid & self.commands.ready):
            m.d.sync += [
                self.active.eq(1),
                command.eq(self.commands.payload),
                tiles_left.eq(self.commands.payload.tiles),
                blocks_left.eq(self.commands.payload.blocks),
                *begin_tile(self.commands.payload, self.commands.payload.a_top_words),
            ]
        return m

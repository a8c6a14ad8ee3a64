"""Names codes of weights in the order of operand A."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import TAPS
from cpt.hw.control.queue import Queue
from cpt.hw.matrix.copies import KEEP, copies
from cpt.hw.move.command import STRETCH
from cpt.hw.move.pack_command import LOCAL_BITS, left_bits, pack_command, step_beats

CODE_PLACE = data.StructLayout({"addr": LOCAL_BITS, "exists": 1, "last": 1})
"""A local word whose code is next, whether there is one (else it is 0); whether it ends a K step."""


class CodeWalker(wiring.Component):
    """All codes of an instruction: tile, K step, row, part of the word, channel.

    Parameters: ``config``.
    Members: ``start``: one begins, with ``command`` (`pack_command`), which came a cycle before and stays;
    ``codes`` (out), one a cycle; ``written``: the planes of the K step are read from their buffer, and the
    next may begin; ``stretch``: where those of this K step go, and ``final``: it is the last.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "command": In(pack_command(config)),
                "codes": Out(stream.Signature(CODE_PLACE)),
                "written": In(1),
                "stretch": Out(STRETCH),
                "final": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, command = self.config, self.command
        group, per_tile = config.group_channels, config.rows
        left = signed(left_bits(config))
        m.submodules.queue = queue = Queue(CODE_PLACE, 2)
        connect(m, queue.o, flipped(self.codes))

        # Where tile and K step begin: local words, bytes, channels and rows that are left after the first.
        tile_place, step_place = (Signal(LOCAL_BITS, name=f"{at}_place") for at in ("tile", "step"))
        tile_addr, step_addr = (Signal(32, name=f"{at}_addr") for at in ("tile", "step"))
        rows_left = Signal(left)
        channels_left = Signal(left)
        ksteps_left = Signal.like(command.ksteps)
        last_step = Signal()
        last_tile = Signal()
        m.d.sync += [
            last_step.eq(ksteps_left == 1),
            last_tile.eq(rows_left < per_tile),
            self.final.eq(last_step & last_tile),
        ]
        m.d.comb += [
            self.stretch.addr.eq(step_addr),
            self.stretch.stride.eq(command.plane_bytes),
            self.stretch.beats.eq(step_beats(config)),
            self.stretch.runs.eq(command.bits),
        ]
        active = [Signal(name=f"active_{n}", attrs=KEEP) for n in range(4)]
        ends = Signal()
        # Instruction, then tile, then K step begin, a cycle each; then the places of the K step are known.
        starts = copies(m, self.start, 4, "starts", reset_less=False)
        tile_ends = copies(m, self.written & last_step, 4, "tile_ends", reset_less=False)
        step_ends = copies(m, self.written & ~last_step, 5, "step_ends", reset_less=False)
        tiles = copies(m, starts[0] | (tile_ends[0] & ~last_tile), 5, "tiles", reset_less=False)
        begins = Signal()
        known = Signal()
        begun = [Signal(name=f"begun_{n}", attrs=KEEP) for n in range(4)]
        m.d.sync += [
            begins.eq(tiles[0] | step_ends[0]),
            *(flag.eq(begins) for flag in begun),
            known.eq(begun[0]),
            *(flag.eq(known | (flag & ~ends)) for flag in active),
        ]
        with m.If(starts[1]):
            m.d.sync += tile_place.eq(command.place)
        with m.Elif(tile_ends[1]):
            m.d.sync += tile_place.eq(tile_place + command.to_tile)
        with m.If(starts[3]):
            m.d.sync += rows_left.eq(command.rows - 1)
        with m.Elif(tile_ends[3]):
            m.d.sync += rows_left.eq(rows_left - per_tile)
        with m.If(starts[2]):
            m.d.sync += tile_addr.eq(command.addr)
        with m.Elif(tile_ends[2]):
            m.d.sync += tile_addr.eq(tile_addr + command.tile_bytes)
        with m.If(tiles[1]):
            m.d.sync += step_place.eq(tile_place)
        with m.Elif(step_ends[1]):
            m.d.sync += step_place.eq(step_place + command.to_step)
        with m.If(tiles[4]):
            m.d.sync += channels_left.eq(command.channels - 1)
        with m.Elif(step_ends[4]):
            m.d.sync += channels_left.eq(channels_left - Mux(command.one, TAPS * group, group))
        with m.If(tiles[3]):
            m.d.sync += ksteps_left.eq(command.ksteps)
        with m.Elif(step_ends[3]):
            m.d.sync += ksteps_left.eq(ksteps_left - 1)
        with m.If(tiles[2]):
            m.d.sync += step_addr.eq(tile_addr)
        with m.Elif(step_ends[2]):
            m.d.sync += step_addr.eq(step_addr + config.group_bytes("a"))

        # Within a K step: the code, and where the next part, the next row, and its second part begin.
        addr, part_addr, row_addr, second_addr = (
            Signal(LOCAL_BITS, name=name, reset_less=True)
            for name in ("addr", "part_addr", "row_addr", "second_addr")
        )
        channel = Signal(range(group))
        part = Signal(range(TAPS))
        row = Signal(range(per_tile))
        channel_last = [Signal(name=f"channel_last_{n}", attrs=KEEP) for n in range(3)]
        part_last = [Signal(name=f"part_last_{n}", attrs=KEEP) for n in range(3)]
        row_last = Signal()
        channel_count = Signal(left)
        row_count = Signal(left)
        """Below 0: there is no such channel or row."""
        step = [flag & queue.i.ready for flag in active]
        row_ends = channel_last[0] & part_last[0]
        m.d.comb += [
            ends.eq(step[0] & row_ends & row_last),
            queue.i.valid.eq(active[0]),
            queue.i.payload.addr.eq(addr),
            queue.i.payload.exists.eq(~channel_count[-1] & ~row_count[-1]),
            queue.i.payload.last.eq(row_ends & row_last),
        ]
        with m.If(begins):
            m.d.sync += [row_addr.eq(step_place + command.to_row), part_addr.eq(step_place + command.to_part)]
        with m.Elif(step[1] & channel_last[1]):
            m.d.sync += part_addr.eq(Mux(part_last[1], second_addr, part_addr + command.to_part))
            with m.If(part_last[1]):
                m.d.sync += row_addr.eq(row_addr + command.to_row)
        with m.If(begun[1]):
            m.d.sync += second_addr.eq(row_addr + command.to_part)
        with m.Elif(step[1] & row_ends):
            m.d.sync += second_addr.eq(second_addr + command.to_row)
        with m.If(begun[2]):
            m.d.sync += addr.eq(step_place)
        with m.Elif(step[2]):
            m.d.sync += addr.eq(
                Mux(channel_last[2], Mux(part_last[2], row_addr, part_addr), addr + command.to_channel)
            )
        again = begun[3] | (channel_last[0] & (~command.one | part_last[0]))
        with m.If(begun[3] | step[3]):
            m.d.sync += channel_count.eq(Mux(again, channels_left, channel_count - 1))
        with m.If(begun[0] | (step[3] & row_ends)):
            m.d.sync += row_count.eq(Mux(begun[0], rows_left, row_count - 1))
        with m.If(step[0]):
            m.d.sync += [channel.eq(channel + 1), *(flag.eq(channel == group - 2) for flag in channel_last)]
            with m.If(channel_last[0]):
                m.d.sync += [
                    part.eq(Mux(part_last[0], 0, part + 1)),
                    *(flag.eq(part == TAPS - 2) for flag in part_last),
                ]
                with m.If(part_last[0]):
                    m.d.sync += [row.eq(row + 1), row_last.eq(row == per_tile - 2)]
        return m

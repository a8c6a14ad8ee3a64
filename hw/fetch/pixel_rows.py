"""Rows of pixels along K: collected, and written three times, shifted by a pixel each, or once."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.tiles import COPIES, FILL_PIXELS, PIECES, step_bits
from cpt.hw.fetch.command import MODE, ROWS_WIDTH
from cpt.hw.fetch.window_memory import HALVES, write_parts
from cpt.hw.matrix.copies import MOST_LOADS, copies, spread

MOST_PIECES = 2
"""Pieces that a row begins, at most."""


def pixel_row(depth: int) -> data.StructLayout:
    """Where a row of an image, or a strip of one, goes: ``addr`` of its first copy, first ``piece`` and,
    where it is less than one, ``part`` of it; ``halves`` of the columns; ``wanted``: it is written at all;
    ``zero``: one write of zeros into every piece at ``addr`` that takes no pixels; ``starts``: the row begins
    with it; ``joins``: the next strip's first pixel is its neighbour; ``flush``: the last of a run;
    ``done``: the slot is complete with it."""
    return data.StructLayout(
        {
            "addr": (depth - 1).bit_length(),
            "piece": PIECES,
            "part": 1,
            "halves": HALVES,
            "wanted": 1,
            "zero": 1,
            "starts": 1,
            "joins": 1,
            "flush": 1,
            "done": 1,
        }
    )


def pixel_write(config: ArrayConfig, depth: int) -> data.StructLayout:
    """A write into the window memories, or operand A's: pieces of ``g`` pixels by channel, at one address of
    the memories of ``piece``, in some ``halves`` and ``parts``."""
    group = config.group_channels
    return data.StructLayout(
        {
            "data": data.ArrayLayout(group, group),
            "addr": (depth - 1).bit_length(),
            "piece": PIECES,
            "halves": HALVES,
            "parts": write_parts(config),
        }
    )


class PixelRows(wiring.Component):
    """Turns steps (8 pixels of all channels) into pieces (``g`` pixels of a channel, for every channel).

    Nothing behind the steps that are taken waits: a row's last step is taken when the writes of the row
    before will be done in time, which is known beforehand. Of strips whose neighbours count all steps are
    taken at once; writes of one that joins the next begin when that one's first step is shown.

    Parameters: ``config``; ``depth`` of the memory in words; ``copied``: a row is written three times, else
    once as it is.
    Members: ``mode``, which stands some cycles before the first row; ``rows``, ``pixels`` (in); ``flush``: as
    in `Steps`; ``write`` (out), with no ``piece`` where there is none; ``filled``: a slot is complete with
    it; ``idle``: nothing is held.
    A step a cycle, and a cycle behind each of such strips, against a write for each piece that a row begins,
    and each copy. From a row's last step to its first write `latency_cycles`.
    """

    latency_cycles = 4

    def __init__(self, config: ArrayConfig, depth: int, *, copied: bool = True):
        self.config, self.depth, self.copied = config, depth, copied
        super().__init__(
            {
                "mode": In(MODE),
                "rows": In(stream.Signature(pixel_row(depth))),
                "pixels": In(stream.Signature(step_bits(config))),
                "flush": Out(1),
                "write": Out(pixel_write(config, depth)),
                "filled": Out(1),
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, row = self.config, self.rows.payload
        group = config.group_channels

        # What stands while a command fills.
        one_block, two_blocks, two_pieces, half_piece, strips, neighbours = (
            Signal(name=name)
            for name in ("one_block", "two_blocks", "two_pieces", "half_piece", "strips", "neighbours")
        )
        """``neighbours``: those of a strip count; a cycle behind the others, so that none counts at first."""
        mode = Signal(MODE)
        m.d.sync += [
            mode.eq(self.mode),
            one_block.eq(mode.blocks == 1),
            two_blocks.eq(mode.blocks == 2),
            two_pieces.eq((FILL_PIXELS << mode.out_pitch) > group),
            half_piece.eq((FILL_PIXELS << mode.out_pitch) < group),
            strips.eq(mode.strips & ~mode.stride2 if self.copied else 0),
            neighbours.eq(strips),
        ]
        most = COPIES if self.copied else 1
        writes = Signal(MOST_PIECES * most - 1)
        """As many ones as writes behind the first of a row."""
        m.d.sync += writes.eq(Mux(two_pieces, (1 << MOST_PIECES * most - 1) - 1, (1 << most - 1) - 1))

        # Steps that are taken; which of their row is the last.
        first = Signal(init=1)
        at_end = Signal()
        stop = Signal()
        alone = Signal()
        left = Signal(ROWS_WIDTH)
        """``at_end``: the next step of a row with data is its last; ``stop``: so the row ends with it, or, of
        a strip with neighbours, all steps are taken and its writes may begin; ``alone``: it joins none."""
        place = Signal(config.cols // FILL_PIXELS, init=1)
        busy = Signal(len(writes) + 1)
        last, take, ends = (Signal(name=name) for name in ("last", "take", "ends"))
        # Each from registers at once, not one by the other: what shows rows and words follows.
        shown, free, there = self.rows.valid, ~busy[0], self.pixels.valid
        spare = Signal(init=1)
        """The last step may be taken: writes of the row before will be done, and those of its own follow."""
        may = ~stop | spare
        m.d.comb += [
            last.eq(row.zero | at_end),
            take.eq(shown & Mux(row.zero, free, there & may)),
            ends.eq(shown & free & (row.zero | (stop & (there | alone)))),
            self.pixels.ready.eq(shown & ~row.zero & may),
            self.rows.ready.eq(ends),
            self.flush.eq(row.flush & last),
        ]
        ends_next = Mux(last, one_block, Mux(first, two_blocks, left == 2))
        m.d.sync += alone.eq(neighbours & ~row.joins)
        with m.If(take):
            m.d.sync += [
                first.eq(last),
                at_end.eq(ends_next),
                stop.eq(Mux(neighbours, at_end, ends_next)),
                left.eq(Mux(first, mode.blocks - 1, left - 1)),
                place.eq(Mux(last, 1, place << 1)),
            ]
        with m.Elif(neighbours):
            m.d.sync += stop.eq(stop & ~ends)
        with m.Elif(first):
            m.d.sync += [at_end.eq(one_block), stop.eq(one_block)]
        once = row.zero | ~row.wanted
        # Gates, not a choice: that would become a reset, a further net.
        busy_next = Mux(ends, writes & ~once.replicate(len(writes)), busy >> 1)
        m.d.sync += [busy.eq(busy_next), spare.eq(~busy_next[0] & ~neighbours)]

        # Cycle 1: the step; 2: in its place of the row, which it may find before it is taken.
        incoming = Signal(step_bits(config), reset_less=True)
        m.d.sync += incoming.eq(self.pixels.payload)
        blocks = []
        whole = neighbours & stop
        for n in range(len(place)):
            block = Signal(step_bits(config), name=f"block_{n}", reset_less=True)
            for k, mine in enumerate(copies(m, place[n] & ~whole, -(-len(block) // MOST_LOADS), f"mine_{n}")):
                part = slice(MOST_LOADS * k, MOST_LOADS * (k + 1))
                with m.If(mine):
                    m.d.sync += block[part].eq(incoming[part])
            blocks.append(block)

        # Cycle 1: what the row does; 2 and on: its writes, a cycle before their pixels.
        held = Signal(pixel_row(self.depth), reset_less=True)
        begin, loads = copies(m, ends, 2, "begin", reset_less=False)
        m.d.sync += held.eq(row)
        now = Signal(pixel_row(self.depth), reset_less=True)
        active = Signal()
        odd = Signal()
        more = Signal.like(writes)
        high = Signal()
        shift = Signal()
        m.d.sync += [
            active.eq(begin | (active & more[0])),
            odd.eq(~begin & ~odd),
            more.eq(Mux(begin, Mux(held.zero | ~held.wanted, 0, writes), more >> 1)),
        ]
        m.d.comb += [
            high.eq(two_pieces & odd & ~now.zero),
            shift.eq(more[0] & (odd | ~two_pieces)),
        ]
        with m.If(loads):
            m.d.sync += now.eq(held)
        with m.Elif(shift):
            m.d.sync += now.addr.eq(now.addr + 1)

        # Cycle 3: the pixels of a write; 4: the write.
        pixels = self._pixels(m, blocks, incoming, mode, begin, held, shift)
        self._data(m, pixels, mode, half_piece, high)
        write = self.write
        then = Signal(pixel_row(self.depth), reset_less=True)
        piece = Signal(PIECES)
        done = Signal()
        parts = write_parts(config)
        piece_now = Mux(now.zero, (1 << PIECES) - 1, Mux(high, now.piece << 1, now.piece))
        m.d.sync += [
            then.eq(now),
            piece.eq(Mux(active & now.wanted, piece_now, 0)),
            done.eq(active & ~more[0] & now.done),
            write.addr.eq(then.addr),
            write.piece.eq(piece),
            write.halves.eq(then.halves),
            write.parts.eq(Cat(~half_piece | (then.part == n) | then.zero for n in range(parts))),
            self.filled.eq(done),
        ]
        m.d.sync += self.idle.eq(~(ends | begin | active | done))
        return m

    def _pixels(self, m, blocks, incoming, mode, begin, held, shift):
        """The row's pixels, which move by one for each copy, so that the same wires serve all; where copies
        are made its neighbours are beside them, those of other strips or zeros."""
        group = self.config.group_channels
        beyond = []
        for n in range(len(blocks)):
            none = Signal(name=f"beyond_{n}", reset_less=True)
            m.d.sync += none.eq(mode.blocks <= n)
            beyond.append(held.zero | none)
        own = Cat(blocks)
        sources = [
            (own[n : n + group], beyond[n // step_bits(self.config)]) for n in range(0, len(own), group)
        ]
        if self.copied:
            before, behind = (Signal(group, name=name, reset_less=True) for name in ("before", "behind"))
            sources = [(before, held.zero | held.starts), *sources, (behind, held.zero | ~held.joins)]
            m.d.sync += behind.eq(incoming[:group])
        pixels = [Signal(group, name=f"at_{n}", reset_less=True) for n in range(len(sources))]
        shared = max(1, MOST_LOADS // group)
        """Pixels that share their signals."""
        count = -(-len(pixels) // shared)
        loads, shifts = copies(m, begin, count + 1, "load"), copies(m, shift, count, "shift")
        for n in range(count):
            zeros: dict[int, Signal] = {}
            for at in range(shared * n, min(shared * (n + 1), len(pixels))):
                source, no_pixel = sources[at]
                if id(no_pixel) not in zeros:
                    (zeros[id(no_pixel)],) = copies(m, no_pixel, 1, f"zeros_{n}_{at}")
                with m.If(loads[n]):
                    m.d.sync += pixels[at].eq(Mux(zeros[id(no_pixel)], 0, source))
                with m.Elif(shifts[n]):
                    m.d.sync += pixels[at].eq(pixels[at + 1] if at + 1 < len(pixels) else 0)
        if self.copied:
            with m.If(loads[count]):
                m.d.sync += before.eq(own[-group:])
        return pixels

    def _data(self, m, pixels, mode, half_piece, high):
        """The piece that a write takes."""
        group = self.config.group_channels
        shared = max(1, MOST_LOADS // (2 * group))
        """Bits that share a choice, which may take two LUTs."""
        count = -(-group // shared)
        highs = copies(m, high, count, "high")
        # What never is has no copies.
        strides = spread(m, mode.stride2, count, "stride2") if self.copied else count * [0]
        halved = copies(m, half_piece, count, "half") if group > FILL_PIXELS else count * [0]
        for x in range(group):
            n = x // shared
            plain, strided = Mux(highs[n], pixels[group + x], pixels[x]), Mux(highs[n], 0, pixels[2 * x])
            if x >= FILL_PIXELS:  # a row of 8 is less than a piece: written into either half of it
                near = x - FILL_PIXELS
                plain = Mux(halved[n], pixels[near], plain)
                strided = Mux(halved[n], pixels[2 * near], strided)
            value = Mux(strides[n], strided, plain)
            for channel in range(group):
                m.d.sync += self.write.data[channel][x].eq(value[channel])

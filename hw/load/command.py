"""What LOAD_A and LOAD_E leave to be worked out: addresses, strides, words."""

from functools import reduce
from operator import or_

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.step import Code
from cpt.hw.contract.tiles import FILL_PIXELS, PIECES, STREAM_BYTES
from cpt.hw.fetch.command import MOST_OUT_STRIPS, pixel_command
from cpt.hw.fetch.pixel_walker import PIXEL_WALK
from cpt.hw.layouts import load_command
from cpt.hw.matrix.copies import copies
from cpt.hw.program.layouts import COMMAND, fields
from cpt.hw.program.product import Product

_COUNT_BITS = 14
"""Of the widest count: the first image of a set."""
_SETTLING_CYCLES = 2
"""Until what the first product needs is known; the rest is before its turn."""


def _log2(number: int) -> int:
    return number.bit_length() - 1


def _chosen(at, values):
    """The one of ``values`` whose bit of ``at`` is set."""
    return reduce(or_, (Mux(bit, value, 0) for bit, value in zip(at, values, strict=True)))


class LoadCommand(wiring.Component):
    """Fields of `Walker`, `PixelWalker` and `Errors` for the instruction that is held.

    Errors: one set of images, rows that begin and end with tiles or with the image. Where they lie in strips
    runs are single planes of them, strip by strip.

    Parameters: ``config``.
    Members: ``command``, stable from ``begin`` on; ``pixels``: it is a LOAD_E; ``weights``, or ``walk`` and
    ``errors``: what it says, from ``done`` until the next ``begin``; ``bad``, likewise: half of the buffer
    does not hold the block; ``done``: for a cycle.
    Latency six cycles, five for each product, two of a LOAD_A and seven of a LOAD_E, and one for each bit of
    its count: 20 to 100.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "begin": In(1),
                "command": In(COMMAND),
                "pixels": Out(1),
                "weights": Out(load_command(config, "a")),
                "walk": Out(PIXEL_WALK),
                "errors": Out(pixel_command(config.a_depth_words)),
                "bad": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, held = self.config, self.command
        group, bits = config.group_channels, held.slot_a.bits
        plain, word = fields(Code.LOAD_A)(held.word), fields(Code.LOAD_E)(held.word)
        weights, walk, errors = self.weights, self.walk, self.errors

        # What needs no product: rows of a tile and images of a set follow from the pitch.
        shapes = range(_log2(config.cols // FILL_PIXELS) + 1)
        tile_rows, sets = (
            [config.cols // FILL_PIXELS >> n for n in shapes],
            [PIECES * group // FILL_PIXELS >> n for n in range(len(shapes) + _log2(MOST_OUT_STRIPS))],
        )
        pitch = (word.pitch_log2 - _log2(FILL_PIXELS))[: bits_for(shapes[-1])]
        wider = copies(m, pitch, 4, "wider")
        """log2 of the blocks of 8 pixels in a row of a tile."""
        across = copies(m, pitch + Mux(word.strips > 2, 2, word.strips == 2), 2, "across")
        """The same of a whole row, its strips rounded up."""
        several = Signal()
        all_groups, down, held_down, first_down = (
            Signal.like(word.height, name=name, reset_less=True)
            for name in ("all_groups", "down", "held_down", "first_down")
        )
        first_image = Signal(_COUNT_BITS, reset_less=True)
        images_left, set_images = (
            Signal.like(word.images, name=n, reset_less=True) for n in ("left", "set_images")
        )
        few = Signal(reset_less=True)
        group_stride = Signal(32, reset_less=True)
        plane_bytes = config.cols * group // 8

        def down_from(copy, rows, more):
            """``rows`` in tiles; with ``more``, up to the end of the last."""
            return Array(rows + more * (count - 1) >> _log2(count) for count in tile_rows)[copy]

        m.d.sync += [
            self.pixels.eq(word.code == Code.LOAD_E),
            all_groups.eq(Mux(word.all_groups.any(), word.all_groups, word.groups)),
            # A difference would have a sign, on every bit above it.
            group_stride.eq(
                ((word.planes << _log2(plane_bytes)) + (STREAM_BYTES - 1)) & ~Const(STREAM_BYTES - 1, 32)
            ),
            down.eq(down_from(wider[0], word.height, 1)),
            held_down.eq(down_from(wider[1], word.rows, 1)),
            first_down.eq(down_from(wider[2], word.row, 0)),
            first_image.eq(Array(word.image_group << _log2(count) for count in sets)[across[0]]),
            set_images.eq(Array(Const(count) for count in sets)[across[1]]),
            several.eq(word.strips != 1),
            images_left.eq(word.images - first_image),
            few.eq(images_left < set_images),
        ]

        # Products one after the other; a sum begins at 0, at the address, or goes on.
        m.submodules.product = product = Product(_COUNT_BITS)
        before = product.total
        tile_stride, row_stride, image_stride, base = (
            Signal(32, name=name, reset_less=True)
            for name in ("tile_stride", "row_stride", "image_stride", "base")
        )
        group_words, words = (
            Signal.like(errors.words, name=name, reset_less=True) for name in ("group_words", "words")
        )
        steps = [
            (group_stride, all_groups, tile_stride),
            (before, word.strips, row_stride),
            (before, down, image_stride),
            (before, first_image, None),
            (row_stride, first_down, base),
            (Mux(self.pixels, word.rows, plain.ksteps), bits, group_words),
            (before, Mux(self.pixels, word.groups, plain.tiles), words),
        ]
        of_address, first_of_weights = 3, 5
        settling = Signal(_SETTLING_CYCLES)
        chooses = Signal()
        at = Signal(len(steps))
        """The step at hand, a bit for each; what follows it has copies."""
        factors, counts, starts, targets = (
            copies(m, at, number, name)
            for number, name in ((2, "at_factor"), (1, "at_count"), (1, "at_start"), (1, "at_target"))
        )
        m.d.sync += [
            settling.eq(Cat(self.begin, settling)),
            chooses.eq(settling[-1] | (product.done & ~at[-1])),
            product.go.eq(chooses),
            product.on.eq(starts[0][of_address + 1]),
            product.start.eq(Mux(starts[0][of_address], held.address, 0)),
            product.count.eq(_chosen(counts[0], [count for _, count, _ in steps])),
            self.done.eq(product.done & at[-1]),
        ]
        for n, copy in enumerate(factors):
            part = slice(16 * n, 16 * (n + 1))
            values = [Value.cast(factor)[part] for factor, _, _ in steps]
            m.d.sync += product.factor[part].eq(_chosen(copy, values))
        with m.If(settling[-1]):
            m.d.sync += at.eq(Mux(self.pixels, 1, 1 << first_of_weights))
        with m.Elif(product.done):
            m.d.sync += at.eq(at << 1)
        for n, (_, _, target) in enumerate(steps):
            if target is not None:
                with m.If(targets[0][n]):
                    m.d.sync += target.eq(before)
        with m.If(targets[0][-1]):
            m.d.sync += self.bad.eq(before > config.half_words("a"))

        m.d.comb += [
            weights.bits.eq(bits),
            weights.tiles.eq(plain.tiles),
            weights.ksteps.eq(plain.ksteps),
            weights.blocks.eq(1),
            weights.base.eq(held.address),
            weights.tile_stride.eq(plain.tile_stride),
            weights.plane_stride.eq(plain.plane_stride),
            weights.block_words.eq(words),
            walk.base.eq(base),
            walk.bits.eq(Mux(several, 1, bits)),
            walk.strips.eq(word.strips),
            walk.planes.eq(Mux(several, bits, 1)),
            walk.groups.eq(word.groups),
            walk.tiles.eq(held_down),
            walk.images.eq(errors.images),
            walk.strip_stride.eq(tile_stride),
            walk.group_stride.eq(group_stride),
            walk.tile_stride.eq(row_stride),
            walk.image_stride.eq(image_stride),
            errors.images.eq(Mux(few, images_left, set_images)),
            errors.set_images.eq(set_images),
            errors.down.eq(held_down),
            errors.groups.eq(word.groups),
            errors.bits.eq(bits),
            errors.rows.eq(Array(Const(count) for count in tile_rows)[wider[3]]),
            errors.strips.eq(word.strips),
            errors.gaps.eq(word.strips == MOST_OUT_STRIPS - 1),
            errors.blocks.eq(1 << wider[3]),
            errors.out_pitch.eq(wider[3]),
            errors.slot_rows.eq(word.rows),
            errors.row_words.eq(1),
            errors.plane_words.eq(word.rows),
            errors.group_words.eq(group_words),
            errors.tile_words.eq(errors.rows),
            errors.clear_below.eq(words),
            errors.words.eq(words),
        ]
        return m

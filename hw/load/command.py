"""What LOAD_A and LOAD_E leave to be worked out: addresses, strides, words."""

from functools import reduce
from operator import or_

from amaranth import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.step import Code
from cpt.hw.contract.tiles import FILL_PIXELS, PIECES, STREAM_BYTES
from cpt.hw.fetch.command import pixel_command
from cpt.hw.fetch.pixel_walker import PIXEL_WALK
from cpt.hw.layouts import load_command
from cpt.hw.matrix.copies import KEEP
from cpt.hw.program.layouts import COMMAND, fields
from cpt.hw.program.product import Product

_COUNT_BITS = 14
"""Of the widest count: the first image of a set."""
_SETTLING_CYCLES = 2
"""Until what the first product needs is known; the rest is before its turn."""


def _log2(number: int) -> int:
    return number.bit_length() - 1


class LoadCommand(wiring.Component):
    """Fields of `Walker`, `PixelWalker` and `Errors` for the instruction that is held.

    Errors: one set of images of one strip, rows that begin and end with tiles or with the image.

    Parameters: ``config``.
    Members: ``command``, stable from ``begin`` on; ``pixels``: it is a LOAD_E; ``weights``, or ``walk`` and
    ``errors``: what it says, from ``done`` until the next ``begin``; ``done``: for a cycle.
    Latency three cycles for each product, two of a LOAD_A and eight of a LOAD_E, and one for each bit of its
    count: 15 to 70.
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
        wider = Signal(range(_log2(config.cols // FILL_PIXELS) + 1), reset_less=True)
        """log2 of the blocks of 8 pixels in a row."""
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
        shapes = range(_log2(config.cols // FILL_PIXELS) + 1)

        def by_pitch(values):
            return Array(values)[wider]

        def tiles(rows):
            """Tiles that ``rows`` from the first of one on reach into."""
            return by_pitch(
                [(rows + (config.cols >> n + 3) - 1) >> _log2(config.cols >> n + 3) for n in shapes]
            )

        m.d.sync += [
            self.pixels.eq(word.code == Code.LOAD_E),
            wider.eq(word.pitch_log2 - _log2(FILL_PIXELS)),
            all_groups.eq(Mux(word.all_groups.any(), word.all_groups, word.groups)),
            group_stride.eq(
                ((word.planes << _log2(plane_bytes)) + STREAM_BYTES - 1) & ~Const(STREAM_BYTES - 1, 32)
            ),
            down.eq(tiles(word.height)),
            held_down.eq(tiles(word.rows)),
            first_down.eq(by_pitch([word.row >> _log2(config.cols >> n + 3) for n in shapes])),
            first_image.eq(by_pitch([word.image_group << _log2(group >> n) for n in shapes])),
            set_images.eq(by_pitch([Const(PIECES * group // (FILL_PIXELS << n)) for n in shapes])),
            images_left.eq(word.images - first_image),
            few.eq(images_left < set_images),
        ]

        # Products one after the other: a sum goes on from the one before, or from 0.
        m.submodules.product = product = Product(_COUNT_BITS)
        before = product.total
        tile_stride, row_stride, image_stride, base, group_words, words = (
            Signal(32, name=name, reset_less=True)
            for name in ("tile_stride", "row_stride", "image_stride", "base", "group_words", "words")
        )
        steps = [
            (0, group_stride, all_groups, tile_stride),
            (0, before, word.strips, row_stride),
            (0, before, down, image_stride),
            (held.address, before, first_image, None),
            (before, row_stride, first_down, None),
            (before, tile_stride, word.strip, base),
            (0, Mux(self.pixels, word.rows, plain.ksteps), bits, group_words),
            (0, before, Mux(self.pixels, word.groups, plain.tiles), words),
        ]
        first_of_weights = len(steps) - 2
        settling = Signal(_SETTLING_CYCLES)
        chooses = Signal()
        at = [Signal(len(steps), name=f"at_{n}", attrs=KEEP) for n in range(2)]
        """The step at hand: for what is multiplied, and for where it goes."""
        m.d.sync += [
            settling.eq(Cat(self.begin, settling)),
            chooses.eq(settling[-1] | (product.done & ~at[0][-1])),
            product.go.eq(chooses),
        ]
        for copy in at:
            with m.If(settling[-1]):
                m.d.sync += copy.eq(Mux(self.pixels, 1, 1 << first_of_weights))
            with m.Elif(product.done):
                m.d.sync += copy.eq(copy << 1)
        for number, operand in enumerate((product.start, product.factor, product.count)):
            terms = [Mux(at[0][n], step[number], 0) for n, step in enumerate(steps)]
            m.d.sync += operand.eq(reduce(or_, terms))
        for n, (*_, target) in enumerate(steps):
            if target is not None:
                with m.If(at[1][n]):
                    m.d.sync += target.eq(before)
        m.d.sync += self.done.eq(product.done & at[0][-1])

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
            walk.bits.eq(bits),
            walk.groups.eq(word.groups),
            walk.tiles.eq(held_down),
            walk.images.eq(errors.images),
            walk.group_stride.eq(group_stride),
            walk.tile_stride.eq(row_stride),
            walk.image_stride.eq(image_stride),
            errors.images.eq(Mux(few, images_left, set_images)),
            errors.set_images.eq(set_images),
            errors.down.eq(held_down),
            errors.groups.eq(word.groups),
            errors.bits.eq(bits),
            errors.rows.eq((config.cols // FILL_PIXELS) >> wider),
            errors.blocks.eq(1 << wider),
            errors.out_pitch.eq(wider),
            errors.slot_rows.eq(word.rows),
            errors.row_words.eq(1),
            errors.plane_words.eq(word.rows),
            errors.group_words.eq(group_words),
            errors.tile_words.eq((config.cols // FILL_PIXELS) >> wider),
            errors.clear_below.eq(words),
            errors.words.eq(words),
        ]
        return m

"""FETCH and FETCH_X: from an instruction's word to what `cpt.hw.fetch.command` says of it."""

from functools import reduce
from operator import or_

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.passes import Sampling
from cpt.hw.contract.step import FORMATS, Code
from cpt.hw.contract.tiles import COPIES, FILL_PIXELS, PIECES, STREAM_BYTES
from cpt.hw.fetch.command import TILES_WIDTH, fetch_command, pixel_command, window_command
from cpt.hw.fetch.pixel_walker import PIXEL_WALK
from cpt.hw.fetch.window_memory import HALVES
from cpt.hw.program.layouts import COMMAND, fields
from cpt.hw.program.product import FACTOR_BITS, Product

SETTLING = 6
"""Cycles from a command until what its first products need is known; what later ones need comes meanwhile."""
TILE_STRIDE, TILES, IMAGE_STRIDE, WORDS, LAST, NEEDED, ROWS, IMAGES, PAIR = range(9)
"""Products in their order. `LAST`: tiles of outputs, or of pixels the words with data; `NEEDED`: words of all
slots that a fill needs; `ROWS` and what follows are parts of the address."""
WORDS_BITS = 17
"""Width of the words of the largest slot that a word may name."""
_FIRST_PITCH = FILL_PIXELS.bit_length() - 1
_SHARED = (
    "kernel",
    "sampling",
    "images",
    "pad",
    "groups",
    "pitch_log2",
    "out_pitch_log2",
    "strips",
    "planes",
)
"""Fields that lie at another place in the other instruction."""
_WIDTHS = {item.name: item.width for item in FORMATS[Code.FETCH_X]}


class Decode(wiring.Component):
    """Works out the walk through memory and the command for `Fetch`, a pair of groups of a FETCH_X at a time.

    It refuses what the fetch cannot do and words that contradict themselves: a pitch, strips, outputs or
    padding that the picture does not have; more planes than memory keeps; strips where they are not served
    (stride 2, spread, pixels, arrays of 8 columns); a slot, or as many as a fill needs, that the memories do
    not hold; rows that the picture lacks, or part of them where tiles have several; a set without images.

    Parameters: ``config``.
    Members: ``command``: FETCH or FETCH_X, stable; ``start``: it is a new one, there since the cycle before;
    ``again``: the next pair of groups is asked for; ``known``: what follows is that of the command;
    ``bad``: it is refused; ``walk``, ``fetch`` (`fetch_command`); ``last``: there is no further pair.
    From ``start`` to ``known`` `SETTLING` cycles and three, and for each product, six of windows and eight of
    pixels, three and one for each bit of its second factor: 35 to 60; about ten for a further pair.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "command": In(COMMAND),
                "start": In(1),
                "again": In(1),
                "known": Out(1),
                "bad": Out(1),
                "walk": Out(PIXEL_WALK),
                "fetch": Out(fetch_command(config)),
                "last": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, depth = self.config, self.config.b_depth_words
        held = self.command
        plain, along = fields(Code.FETCH)(held.word), fields(Code.FETCH_X)(held.word)
        bits = held.slot_a.bits

        def kept(name, value):
            """A register that follows; none has an enable, so what follows from a command settles."""
            register = Signal(Value.cast(value).shape(), name=name, reset_less=True)
            m.d.sync += register.eq(value)
            return register

        # What the word says, whichever it is.
        pixels = kept("pixels", plain.code == Code.FETCH_X)
        said = {name: kept(name, Mux(pixels, along[name], plain[name])) for name in _SHARED}
        kernel3, groups, images, strips = (said[name] for name in ("kernel", "groups", "images", "strips"))
        stride2 = kept("stride2", said["sampling"] == Sampling.STRIDE)
        spread = kept("spread", said["sampling"] == Sampling.SPREAD)
        height, width = plain.height, plain.width
        half_height, half_width = kept("half_height", (height + 1) >> 1), kept("half_width", (width + 1) >> 1)
        out_height = kept(
            "out_height", Mux(pixels, Mux(stride2, half_height, height)[: len(height)], plain.out_height)
        )
        out_width = kept(
            "out_width", Mux(pixels, Mux(stride2, half_width, width)[: len(width)], plain.out_width)
        )
        out_strips = kept("out_strips", Mux(pixels, 1, plain.out_strips))
        source_rows, tiles_down = self._rows(kept, "source", height, said["pitch_log2"])
        out_rows, outputs_down = self._rows(kept, "out", out_height, said["out_pitch_log2"])

        # Of windows.
        nines = [count // TAPS for count in range(1 << len(groups))]
        full = kept("full", _looked_up([TAPS * count for count in nines], groups))
        lacks = kept("lacks", full != groups)
        of_nine = _looked_up([-(-count // TAPS) for count in range(1 << len(groups))], groups)
        ksteps = kept("ksteps", Mux(kernel3, groups, of_nine))
        one_strip = kept("one_strip", out_strips == 1)
        wide = kept("wide", said["out_pitch_log2"] != said["pitch_log2"])
        reach = kept("reach", Mux(spread, Mux(wide, 4, 2), 0))
        ahead = kept("ahead", Mux(kernel3, Mux(one_strip, 2, out_strips + 2), 1))
        at_stride_1 = kept("at_stride_1", Mux(one_strip, 3, (out_strips << 1) + 3))
        of_kernel_3 = Mux(stride2, 2, at_stride_1)
        fewest = kept("fewest", Mux(pixels, 1, Mux(spread, reach + kernel3, Mux(kernel3, of_kernel_3, 1))))
        ends_low = kept("ends_low", Mux(stride2, out_height << 1, out_height + 1) == height + 1)
        ends_tile = kept("ends_tile", ~(height & (source_rows - 1)[: len(source_rows)]).any())

        # Of pixels: rows of the source that a chunk needs, and those that there are.
        several = kept("several", ~source_rows[0])
        above = kept("above", ~along.row.any())
        before = Mux(stride2, along.row << 1, along.row) - 1
        first_row = kept("first_row", Mux(above, 0, before)[: len(along.row) + 1])
        slot_rows = kept("slot_rows", Mux(stride2, (along.rows << 1) + 1, along.rows + COPIES - 1))
        there = kept("there", (tiles_down - first_row)[: len(tiles_down)])
        wanted = kept("wanted", (slot_rows - above)[: len(slot_rows)])
        few = kept("few", several | (there < wanted))
        down = kept("down", Mux(few, there, wanted)[: len(there)])
        rows_there = kept("rows_there", _times(down, source_rows) + above)
        reached = kept("reached", Mux(rows_there < slot_rows, rows_there, slot_rows)[: len(slot_rows)])
        row_words = kept("row_words", (bits << 1) + bits)
        set_log2 = (PIECES * config.group_channels).bit_length() - 1
        set_images, first_image = (
            kept(name, self._by_pitch(said["out_pitch_log2"], [value << set_log2 - p for p in self._pitches]))
            for name, value in (("set_images", Const(1)), ("first_image", along.image_group))
        )
        images_left = kept("images_left", images - first_image)
        some = kept("some", Mux(images_left > set_images, set_images, images_left)[: len(images)])

        # Products.
        plane_bytes = config.cols * config.group_channels // 8
        aligned = (STREAM_BYTES - 1).bit_length()
        piece = (said["planes"] * plane_bytes + STREAM_BYTES - 1)[aligned:]
        group_stride = kept("group_stride", Cat(Const(0, aligned), piece))
        all_groups = kept("all_groups", Mux(pixels & along.all_groups.any(), along.all_groups, groups))
        second = max(len(first_image), len(first_row), TILES_WIDTH)
        m.submodules.product = product = Product(second)
        before = product.total
        tile_stride, tiles, image_stride, words, last, base = (
            Signal(size, name=name, reset_less=True)
            for name, size in (
                ("tile_stride", len(group_stride) + len(all_groups)),
                ("tiles", TILES_WIDTH),
                ("image_stride", FACTOR_BITS),
                ("words", WORDS_BITS),
                ("last_product", WORDS_BITS),
                ("base", FACTOR_BITS),
            )
        )
        steps = {
            TILE_STRIDE: (0, group_stride, all_groups),
            TILES: (0, tiles_down, strips),
            IMAGE_STRIDE: (0, tile_stride, tiles),
            WORDS: (0, Mux(pixels, slot_rows, ksteps), Mux(pixels, row_words, bits)),
            LAST: (0, Mux(pixels, reached, outputs_down), Mux(pixels, row_words, out_strips)),
            NEEDED: (0, words, fewest),
            ROWS: (held.address, tile_stride, first_row),
            IMAGES: (before, image_stride, first_image),
            PAIR: (base, group_stride, HALVES),
        }
        settling, settled = Signal(SETTLING), Signal(3)
        go, chooses, addressed = settling[-1], Signal(), Signal()
        at, ended = Signal(len(steps)), Signal(len(steps))
        m.d.comb += [
            ended.eq(Mux(product.done, at, 0)),
            # The address of windows is the instruction's.
            addressed.eq(Mux(pixels, ended[IMAGES] | ended[PAIR], ended[NEEDED])),
        ]
        m.d.sync += [
            settling.eq(Cat(self.start, settling)),
            chooses.eq(go | self.again | (product.done & ~addressed)),
            product.go.eq(chooses),
            settled.eq(Cat(addressed, settled)),
        ]
        with m.If(go):
            m.d.sync += at.eq(1 << TILE_STRIDE)
        with m.Elif(self.again):
            m.d.sync += at.eq(1 << PAIR)
        with m.Elif(product.done):
            m.d.sync += at.eq(at << 1)
        for index, operand in enumerate((product.start, product.factor, product.count)):
            m.d.sync += operand.eq(reduce(or_, (Mux(at[n], step[index], 0) for n, step in steps.items())))
        places = {
            TILE_STRIDE: tile_stride,
            TILES: tiles,
            IMAGE_STRIDE: image_stride,
            WORDS: words,
            LAST: last,
        }
        for number, place in places.items():
            with m.If(ended[number]):
                m.d.sync += place.eq(before)
        short = Signal(reset_less=True)
        with m.If(ended[NEEDED]):
            m.d.sync += short.eq(before > depth)
        with m.If(addressed):
            m.d.sync += base.eq(Mux(pixels, before, held.address))
        with m.If(self.start | self.again):
            m.d.sync += self.known.eq(0)
        with m.Elif(settled[-1]):
            m.d.sync += self.known.eq(1)

        # A pair of groups at a time.
        left, pair = Signal.like(groups, name="left", reset_less=True), Signal(range(HALVES + 1))
        with m.If(go):
            m.d.sync += left.eq(groups)
        with m.Elif(self.again):
            m.d.sync += left.eq(left - HALVES)
        m.d.sync += [
            pair.eq(Mux(left > HALVES, HALVES, left)),
            self.last.eq(~pixels | (left <= HALVES)),
        ]

        # What is refused.
        same = (out_height == height) & (out_width == width)
        halved = (out_height == half_height) & (out_width == half_width)
        doubled = (((out_height + 1) >> 1) == height) & (((out_width + 1) >> 1) == width)
        rows_end = kept("rows_end", along.row + along.rows)
        part = kept("part", ~above | (along.rows != out_height))
        served = pixels | stride2 | spread
        wrong = [
            ~self._fits(kept, "source", width, strips, said["pitch_log2"]),
            ~self._fits(kept, "out", out_width, out_strips, said["out_pitch_log2"]),
            ~kept("shaped", Mux(stride2, halved, Mux(spread, doubled, same)) | pixels),
            said["pad"] != kernel3,
            bits > said["planes"],
            (strips != 1) & (pixels | int(config.cols < 2 * FILL_PIXELS)),
            served & ~one_strip,
            short,
            pixels & (rows_end > out_height),
            pixels & several & part,
            pixels & (images_left <= 0),
        ]
        flags = [kept(f"wrong_{number}", value) for number, value in enumerate(wrong)]
        m.d.sync += self.bad.eq(Cat(flags).any())

        # What is said to walker and fetch.
        windows, sets = Signal(window_command(config)), Signal(pixel_command(depth))
        both = {
            "stride2": stride2,
            "bits": bits,
            "rows": source_rows,
            "blocks": self._by_pitch(said["pitch_log2"], [1 << p - _FIRST_PITCH for p in self._pitches]),
            "out_pitch": said["out_pitch_log2"] - _FIRST_PITCH,
            "words": words,
        }
        of_windows = {
            "kernel1": ~kernel3,
            "spread": spread,
            "reach": reach,
            "odd": out_height[0],
            "source_height": height,
            "images": images,
            "down": tiles_down,
            "strips": strips,
            "groups": groups,
            "ksteps": ksteps,
            "out_rows": out_rows,
            "height": out_height,
            "outputs": last,
            "first_slots": Mux(last < ahead, last, ahead),
            "zero_below": kernel3 & ends_low & ends_tile,
            "clears": ~kernel3 & lacks,
            "clear_group": Mux(~kernel3 & lacks, full, 0),
            "base": base,
            "image_stride": image_stride,
            "tile_stride": tile_stride,
            "group_stride": group_stride,
        }
        of_pixels = {
            "images": some,
            "set_images": set_images,
            "down": down,
            "groups": pair,
            "above": above,
            "slot_rows": slot_rows,
            "row_words": row_words,
            "plane_words": COPIES,
            "group_words": 0,
            "tile_words": _times(row_words, source_rows),
            "clear_above": Mux(above, row_words, 0),
            "clear_below": last,
        }
        walk = {
            "base": base,
            "bits": bits,
            "groups": Mux(pixels, pair, groups),
            "tiles": Mux(pixels, down, tiles),
            "images": Mux(pixels, some, images),
            "group_stride": group_stride,
            "tile_stride": tile_stride,
            "image_stride": image_stride,
        }
        m.d.comb += [
            *(windows[name].eq(value) for name, value in (both | of_windows).items()),
            *(sets[name].eq(value) for name, value in (both | of_pixels).items()),
        ]
        m.d.sync += [
            *(self.walk[name].eq(value) for name, value in walk.items()),
            self.fetch.pixels.eq(pixels),
            Value.cast(self.fetch.body).eq(Mux(pixels, sets.as_value(), windows.as_value())),
        ]
        return m

    @property
    def _pitches(self) -> range:
        """Logarithms of the pitches that there are."""
        return range(_FIRST_PITCH, self.config.cols.bit_length())

    def _by_pitch(self, pitch_log2, values):
        """One of ``values``, which stand in the order of `_pitches`."""
        return reduce(or_, (Mux(pitch_log2 == p, v, 0) for p, v in zip(self._pitches, values, strict=True)))

    def _rows(self, kept, name, size, pitch_log2):
        """Rows of a tile, and tiles one above the other in ``size`` rows."""
        rows = [self.config.cols >> p for p in self._pitches]
        tiles = [(size + each - 1) >> each.bit_length() - 1 for each in rows]
        return (
            kept(f"{name}_rows", self._by_pitch(pitch_log2, [Const(each) for each in rows])),
            kept(f"{name}_down", self._by_pitch(pitch_log2, tiles)[: len(size)]),
        )

    def _fits(self, kept, name, width, strips, pitch_log2):
        """Whether pitch and strips are those of a picture of ``width``."""
        cols = self.config.cols
        fits = []
        for p in self._pitches:
            pitch = 1 << p
            fit = width > pitch // 2 if p > _FIRST_PITCH else Const(1)
            if pitch == cols:
                fit &= ((width + cols - 1) >> p) == strips
            else:
                fit &= (width <= pitch) & (strips == 1)
            fits.append(kept(f"{name}_fits_{pitch}", fit))
        return self._by_pitch(pitch_log2, fits)


def _looked_up(values, index):
    """One of ``values``, a LUT for each of its bits."""
    width = max(values).bit_length()
    table = [
        Const(sum((v >> bit & 1) << n for n, v in enumerate(values)), len(values)) for bit in range(width)
    ]
    return Cat(bits.bit_select(index, 1) for bits in table)


def _times(value, rows):
    """``value`` by the rows of a tile: 1, 2 or 4."""
    return (
        Mux(rows[2], value << 2, Mux(rows[1], value << 1, value))
        if len(rows) > 2
        else (Mux(rows[1], value << 1, value) if len(rows) > 1 else value)
    )

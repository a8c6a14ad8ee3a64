"""FETCH and FETCH_X: from an instruction's word to what `cpt.hw.fetch.command` says of it."""

from functools import reduce
from operator import or_

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import TAPS
from cpt.hw.contract.passes import Sampling
from cpt.hw.contract.step import Code
from cpt.hw.contract.tiles import COPIES, FILL_PIXELS, PIECES, STREAM_BYTES, STRIP_COLUMNS
from cpt.hw.fetch.command import MOST_OUT_STRIPS, TILES_WIDTH, fetch_command, pixel_command, window_command
from cpt.hw.fetch.pixel_walker import PIXEL_WALK
from cpt.hw.fetch.window_memory import HALVES
from cpt.hw.matrix.copies import KEEP, MOST_LOADS, copies
from cpt.hw.program.layouts import COMMAND, fields
from cpt.hw.program.product import FACTOR_BITS, Product

SETTLING = 6
"""Cycles from a command until what its first products need is known; what later ones need comes meanwhile."""
TILE_STRIDE, ROW_STRIDE, IMAGE_STRIDE, WORDS, LAST, NEEDED, ROWS, IMAGES, PAIR = range(9)
"""Products in their order. `ROW_STRIDE`: of windows an image's tiles instead; `LAST`: tiles of outputs, or of
pixels the words with data; `NEEDED`: words of all slots that a fill needs; `ROWS` and what follows are parts
of the address."""
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
    "out_strips",
    "planes",
    "all_groups",
)
"""Fields that lie at another place in the other instruction."""
_COPIES_OF_KIND = 17
"""Copies of what says FETCH_X: for the word, products, and parts of the command."""


class Decode(wiring.Component):
    """Works out the walk through memory and the command for `Fetch`, a pair of groups of a FETCH_X at a time.

    It refuses what the fetch cannot do and words that contradict themselves: a pitch, strips, outputs or
    padding that the picture does not have; more planes than memory keeps; strips where they are not served
    (windows of stride 2, more than two of them spread, arrays of 8 columns), or more than a word of pixels
    holds; a slot, or as many as a fill needs, that the memories do not hold; rows that the picture lacks, or
    part of them where tiles have several; a set without images.

    Parameters: ``config``.
    Members: ``command``: FETCH or FETCH_X, stable; ``start``: it is a new one, there since the cycle before;
    ``again``: the next pair of groups is asked for; ``known``: what follows is that of the command;
    ``bad``: it is refused; ``walk``, ``fetch`` (`fetch_command`); ``last``: there is no further pair.
    From ``start`` to ``known`` 50 to 75 cycles: six products for windows, eight for pixels; about ten for a
    further pair.
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

        def kept(name, value, **attrs):
            """A register that follows; none has an enable, so what follows from a command settles."""
            register = Signal(Value.cast(value).shape(), name=name, reset_less=True, **attrs)
            m.d.sync += register.eq(value)
            return register

        # What the word says, whichever it is.
        pixels, *some_pixels = (
            kept(f"pixels_{n}", plain.code == Code.FETCH_X, attrs=KEEP) for n in range(_COPIES_OF_KIND)
        )
        said = {
            name: kept(name, Mux(some_pixels[n % 2], along[name], plain[name]))
            for n, name in enumerate(_SHARED)
        }
        kernel3, groups, images, strips = (said[name] for name in ("kernel", "groups", "images", "strips"))
        height, width, row, rows = (kept(name, along[name]) for name in ("height", "width", "row", "rows"))
        bits = kept("bits", held.slot_a.bits)
        stride2, stride2_height, stride2_width, stride2_rows = (
            kept(f"stride2_{n}", said["sampling"] == Sampling.STRIDE, attrs=KEEP) for n in range(4)
        )
        spread = kept("spread", said["sampling"] == Sampling.SPREAD)
        sizes = {"height": (height, stride2_height), "width": (width, stride2_width)}
        halved, sampled, out = {}, {}, {}
        """Half of each size, rounded up; what it is behind the stride; what that of the output is."""
        for name, (size, halves) in sizes.items():
            halved[name] = kept(f"half_{name}", (size + 1) >> 1)
            sampled[name] = kept(f"sampled_{name}", Mux(halves, halved[name], size)[: len(size)])
            out[name] = kept(f"out_{name}", Mux(some_pixels[2], sampled[name], plain[f"out_{name}"]))
        out_height = out["height"]
        out_strips = said["out_strips"]
        source_rows, tiles_down = self._rows(kept, "source", height, said["pitch_log2"])
        out_rows, outputs_down = self._rows(kept, "out", out_height, said["out_pitch_log2"])

        # Of windows.
        full = kept("full", _looked_up([count - count % TAPS for count in range(1 << len(groups))], groups))
        of_nine = _looked_up([-(-count // TAPS) for count in range(1 << len(groups))], groups)
        lacks = kept("lacks", ~kernel3 & (full != groups))
        ksteps = kept("ksteps", Mux(kernel3, groups, of_nine))
        one_strip = kept("one_strip", out_strips == 1)
        wide = kept("wide", said["out_pitch_log2"] != said["pitch_log2"])
        two_strips = kept("two_strips", out_strips == 2)
        halved = kept("halved", ~pixels & spread & two_strips)
        reach = kept("reach", Mux(spread, Mux(wide | two_strips, 4, 2), 0))
        ahead = kept("ahead", Mux(kernel3, Mux(one_strip, 2, out_strips + 2), 1))
        more_below = kept("more_below", Mux(wide, outputs_down >= 8, outputs_down >= 4))
        """Outputs are twice as many as one tile of the source reaches, or more."""
        of_spread = kept("of_spread", reach + Mux(kernel3, Mux(two_strips, 2, more_below), 0))
        at_stride_1 = kept("at_stride_1", Mux(one_strip, 3, (out_strips << 1) + 3))
        of_kernel_3 = kept("of_kernel_3", Mux(stride2, 2, at_stride_1))
        fewest = kept("fewest", Mux(pixels, 1, Mux(spread, of_spread, Mux(kernel3, of_kernel_3, 1))))
        lowest = kept(
            "lowest", Mux(stride2_rows, Cat(Const(1, 1), (out_height - 1)[: len(height)]), out_height)
        )
        """The lowest row that a centre of a window stands on, and one more."""
        ends_low = kept("ends_low", lowest == height)
        ends_tile = kept("ends_tile", ~(height & (source_rows - 1)[: len(source_rows)]).any())
        zero_below = kept("zero_below", kernel3 & ends_low & ends_tile)

        # Of pixels: rows of the source that a chunk needs, and those that there are.
        several = kept("several", ~source_rows[0])
        above = kept("above", ~row.any())
        doubled = kept("doubled", Mux(stride2_rows, row << 1, row))
        first_row = kept("first_row", Mux(above, 0, doubled - 1)[: len(doubled)])
        slot_rows = kept("slot_rows", Mux(stride2, (rows << 1) + 1, rows + COPIES - 1))
        there = kept("there", (tiles_down - first_row)[: len(tiles_down)])
        wanted = kept("wanted", (slot_rows - above)[: len(slot_rows)])
        few = kept("few", several | (there < wanted))
        down = kept("down", Mux(few, there, wanted)[: len(there)])
        rows_there = kept("rows_there", _times(down, source_rows) + above)
        deep = kept("deep", rows_there > slot_rows)
        reached = kept("reached", Mux(deep, slot_rows, rows_there)[: len(slot_rows)])
        row_words = kept("row_words", (bits << 1) + bits)
        set_log2 = (PIECES * config.group_channels).bit_length() - 1
        set_images, first_image = [], []
        for name, sets, value in (
            ("set_images", set_images, Const(1)),
            ("first_image", first_image, along.image_group),
        ):
            *narrower, of_one = (value << set_log2 - p for p in self._pitches)
            of_strips = kept(
                f"wide_{name}", Mux(one_strip, of_one, Mux(two_strips, of_one >> 1, of_one >> 2))
            )
            sets.append(self._by_pitch(said["out_pitch_log2"], [*narrower, of_strips]))
        set_images, first_image = kept("set_images", *set_images), kept("first_image", *first_image)
        along_strips = kept("along_strips", pixels & (strips != 1))
        images_left = kept("images_left", images - first_image)
        many = kept("many", images_left > set_images)
        some = kept("some", Mux(many, set_images, images_left)[: len(images)])

        # Products one after the other; an address begins with the instruction's and goes on.
        plane_bytes = config.cols * config.group_channels // 8
        aligned = (STREAM_BYTES - 1).bit_length()
        piece = (said["planes"] * plane_bytes + (STREAM_BYTES - 1))[aligned:]
        group_stride = kept("group_stride", Cat(Const(0, aligned), piece))
        all_groups = kept("all_groups", Mux(said["all_groups"].any(), said["all_groups"], groups))
        m.submodules.product = product = Product(max(len(first_image), len(first_row), TILES_WIDTH))
        before = product.total
        tile_stride, row_stride, image_stride, words, last, base = (
            Signal(size, name=name, reset_less=True)
            for name, size in (
                ("tile_stride", len(group_stride) + len(all_groups)),
                ("row_stride", FACTOR_BITS),
                ("image_stride", FACTOR_BITS),
                ("words", WORDS_BITS),
                ("last_product", WORDS_BITS),
                ("base", FACTOR_BITS),
            )
        )
        tiles = row_stride[:TILES_WIDTH]
        by_kind = {
            "slot": (slot_rows, ksteps),
            "slot_count": (row_words, bits),
            "data": (reached, outputs_down),
            "data_count": (row_words, out_strips),
        }
        chosen = {name: kept(name, Mux(some_pixels[3], *values)) for name, values in by_kind.items()}
        steps = {
            TILE_STRIDE: (group_stride, all_groups, tile_stride),
            ROW_STRIDE: (Mux(some_pixels[5], tile_stride, tiles_down), strips, row_stride),
            IMAGE_STRIDE: (
                Mux(some_pixels[6], row_stride, tile_stride),
                Mux(some_pixels[8], tiles_down, tiles),
                image_stride,
            ),
            WORDS: (chosen["slot"], chosen["slot_count"], words),
            LAST: (chosen["data"], chosen["data_count"], last),
            NEEDED: (words, fewest, None),
            ROWS: (row_stride, first_row, None),
            IMAGES: (image_stride, first_image, None),
            PAIR: (group_stride, HALVES, None),
        }
        settling = Signal(SETTLING)
        settled = Signal(3)
        chooses = Signal()
        go = settling[-1]
        at = Signal(len(steps))
        """``at``: the step at hand, a bit for each; what follows it has copies."""
        factors, (counts, starts, targets) = copies(m, at, 2, "at_factor"), copies(m, at, 3, "at")
        final = kept("final", Mux(pixels, at[IMAGES] | at[PAIR], at[NEEDED]))
        """The address is known behind this step."""
        following = Signal()
        """``again``, a cycle later."""
        m.d.sync += [
            following.eq(self.again),
            settling.eq(Cat(self.start, settling)),
            chooses.eq(go | following | (product.done & ~final)),
            product.go.eq(chooses),
            product.on.eq(starts[IMAGES] | starts[PAIR]),
            product.start.eq(Mux(starts[ROWS], held.address, 0)),
            product.count.eq(_chosen(counts, [count for _, count, _ in steps.values()])),
            settled.eq(Cat(product.done & final, settled)),
        ]
        for n, copy in enumerate(factors):
            half = slice(FACTOR_BITS // 2 * n, FACTOR_BITS // 2 * (n + 1))
            values = [Value.cast(factor)[half] for factor, _, _ in steps.values()]
            m.d.sync += product.factor[half].eq(_chosen(copy, values))
        with m.If(go):
            m.d.sync += at.eq(1 << TILE_STRIDE)
        with m.Elif(following):
            m.d.sync += at.eq(1 << PAIR)
        with m.Elif(product.done):
            m.d.sync += at.eq(at << 1)
        for number, (_, _, target) in steps.items():
            if target is not None:
                with m.If(targets[number]):
                    m.d.sync += target.eq(before)
        short, in_half = (Signal(name=name, reset_less=True) for name in ("short", "in_half"))
        with m.If(targets[NEEDED]):
            m.d.sync += [
                short.eq(before > depth),
                in_half.eq(before <= Mux(some_pixels[14], depth // 2, depth // 4)),
            ]
        with m.If(targets[NEEDED] | targets[IMAGES] | targets[PAIR]):
            m.d.sync += base.eq(Mux(some_pixels[4], before, held.address))
        with m.If(self.start | self.again):
            m.d.sync += self.known.eq(0)
        with m.Elif(settled[-1]):
            m.d.sync += self.known.eq(1)

        # A pair of groups at a time.
        left = Signal.like(groups, name="left", reset_less=True)
        pair = Signal(range(HALVES + 1))
        with m.If(go):
            m.d.sync += left.eq(groups)
        with m.Elif(following):
            m.d.sync += left.eq(left - HALVES)
        m.d.sync += [
            pair.eq(Mux(left > HALVES, HALVES, left)),
            self.last.eq(~pixels | (left <= HALVES)),
        ]

        # What is refused.
        shaped = []
        for name, (size, _) in sizes.items():
            half_out = kept(f"half_out_{name}", (out[name] + 1) >> 1)
            twice = kept(f"twice_{name}", half_out == size)
            equal = kept(f"equal_{name}", out[name] == sampled[name])
            shaped.append(Mux(spread, twice, equal))
        rows_end = kept("rows_end", row + rows)
        partial = kept("partial", rows != out_height)
        most_strips = kept("most_strips", Mux(pixels, MOST_OUT_STRIPS, Mux(spread, 2, Mux(stride2, 1, 15))))
        wrong = [
            ~self._fits(kept, "source", width, strips, said["pitch_log2"]),
            ~self._fits(kept, "out", out["width"], out_strips, said["out_pitch_log2"]),
            ~(shaped[0] & shaped[1]),
            said["pad"] != kernel3,
            bits > said["planes"],
            (~one_strip | (strips != 1)) & int(config.cols < STRIP_COLUMNS),
            out_strips > most_strips,
            short,
            pixels & (rows_end > out_height),
            pixels & several & (~above | partial),
            pixels & (images_left <= 0),
        ]
        flags = [kept(f"wrong_{number}", value) for number, value in enumerate(wrong)]
        some_wrong = [kept(f"wrong_part_{n}", Cat(flags[n::2]).any()) for n in range(2)]
        m.d.sync += self.bad.eq(some_wrong[0] | some_wrong[1])

        # What is said to walker and fetch.
        fewer = kept("fewer", last < ahead)
        windows = Signal(window_command(config))
        sets = Signal(pixel_command(depth))
        blocks = self._by_pitch(said["pitch_log2"], [1 << p - _FIRST_PITCH for p in self._pitches])
        both = {
            "stride2": stride2,
            "bits": bits,
            "rows": source_rows,
            "strips": strips,
            "blocks": blocks >> halved,
            "out_pitch": said["out_pitch_log2"] - _FIRST_PITCH - (along_strips & stride2),
            "words": words,
            "half": in_half,
        }
        of_windows = {
            "kernel1": ~kernel3,
            "spread": spread,
            "halved": halved,
            "reach": reach,
            "odd": out_height[0],
            "source_height": height,
            "images": images,
            "down": tiles_down,
            "groups": groups,
            "ksteps": ksteps,
            "out_rows": out_rows,
            "height": out_height,
            "outputs": last,
            "first_slots": kept("first_slots", Mux(fewer, last, ahead)),
            "zero_below": zero_below,
            "clears": lacks,
            "clear_group": Mux(lacks, full, 0),
        }
        of_pixels = {
            "images": some,
            "set_images": set_images,
            "gaps": 0,
            "down": down,
            "groups": pair,
            "above": above,
            "slot_rows": slot_rows,
            "row_words": row_words,
            "plane_words": COPIES,
            "group_words": 0,
            "tile_words": kept("tile_words", _times(row_words, source_rows)),
            "clear_above": Mux(above, row_words, 0),
            "clear_below": last,
        }
        walk = {
            "base": base,
            "bits": Mux(along_strips, 1, bits),
            "strips": Mux(along_strips, strips, 1),
            "planes": Mux(along_strips, bits, 1),
            "groups": Mux(pixels, pair, groups),
            "tiles": Mux(pixels, down, tiles),
            "images": Mux(some_pixels[-1], some, images),
            "strip_stride": tile_stride,
            "group_stride": group_stride,
            "tile_stride": Mux(some_pixels[7], row_stride, tile_stride),
            "image_stride": image_stride,
        }
        m.d.comb += [
            *(windows[name].eq(value) for name, value in (both | of_windows).items()),
            *(sets[name].eq(value) for name, value in (both | of_pixels).items()),
        ]
        m.d.sync += [
            *(self.walk[name].eq(value) for name, value in walk.items()),
            self.fetch.pixels.eq(pixels),
        ]
        body = Value.cast(self.fetch.body)
        bodies = [Signal(len(body), name=f"of_{n}") for n in range(2)]
        m.d.comb += [bodies[0].eq(windows.as_value()), bodies[1].eq(sets.as_value())]
        for n in range(-(-len(body) // MOST_LOADS)):
            part = slice(MOST_LOADS * n, MOST_LOADS * (n + 1))
            m.d.sync += body[part].eq(Mux(some_pixels[9 + n], bodies[1][part], bodies[0][part]))
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
        one_strip = kept(f"{name}_one_strip", strips == 1)
        needed = kept(f"{name}_needed", (width + cols - 1) >> cols.bit_length() - 1)
        fits = []
        for p in self._pitches:
            pitch = 1 << p
            more = kept(f"{name}_more_{pitch}", (width > pitch // 2) | (p == _FIRST_PITCH))
            right = one_strip & (width <= pitch) if pitch < cols else needed == strips
            fits.append(more & kept(f"{name}_right_{pitch}", right))
        return self._by_pitch(pitch_log2, fits)


def _looked_up(values, index):
    """One of ``values``, a LUT for each of its bits."""
    bits = range(max(values).bit_length())
    tables = [
        Const(sum((value >> bit & 1) << n for n, value in enumerate(values)), len(values)) for bit in bits
    ]
    return Cat(table.bit_select(index, 1) for table in tables)


def _chosen(at, values):
    """The one of ``values`` whose bit is set."""
    return reduce(or_, (Mux(bit, value, 0) for bit, value in zip(at, values, strict=True)))


def _times(value, rows):
    """``value`` by the rows of a tile: 1, 2 or 4."""
    return reduce(or_, (Mux(bit, value << n, 0) for n, bit in enumerate(rows)))

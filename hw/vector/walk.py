"""What walks of drain and apply share: counters over images, tiles and channels, and slots made of them."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import SUM_WORDS, Code
from cpt.hw.contract.tiles import FILL_PIXELS
from cpt.hw.fetch.held import hold
from cpt.hw.layouts import BITS_WIDTH, result_rows
from cpt.hw.matrix.copies import copies
from cpt.hw.program.gate import Gate
from cpt.hw.program.layouts import COMMAND, MARKS, WAITS, fields, waits
from cpt.hw.vector.kinds import APPLIES, DRAINS, SETTINGS, Decode
from cpt.hw.vector.noise import Walk as Way
from cpt.hw.vector.row import PARTS
from cpt.hw.vector.scratch import bank_words

IN_WORDS_LOG2 = 8
"""Short scratch addresses count in so many words."""
OPERANDS = ("y", "other", "mask")
_ENDS = ("word", "group", "tile", "all")
"""What may end with a slot."""
_FLAGS = data.StructLayout(
    {
        **dict.fromkeys(
            ("final", "sums", "frees", "clear", "fresh", "right", "bottom", "ends", "first", "last"), 1
        ),
        "part": range(PARTS),
        "reads": len(OPERANDS),
        "walk": Way,
    }
)
"""Of a slot, what is known when it is decided on."""


def slot_layout(config: ArrayConfig, words: int) -> data.StructLayout:
    """A cycle of the lanes.

    ``final``: it is a word's only or last cycle; ``sums``: column sums are read; ``channel``: of
    coefficients and statistics, ``index``: among the instruction's; ``part``: of a GRADIENT; ``row``: of the
    result buffer, ``frees``: the last of its tile; ``reads``: which of `OPERANDS` are read, ``y`` .. ``out``:
    scratch words; ``clear``: statistics start, ``fresh``: an image does; ``right``, ``bottom``: a tile at the
    image's edge; ``real``: the tensor has this channel; ``ends``: of what the mark counts; ``first``,
    ``last``, ``address``: as the packer has them; ``walk``: where the next word lies.
    """
    return data.StructLayout(
        {
            **{name: field.shape for name, field in _FLAGS},
            "real": 1,
            "channel": range(config.channels),
            "index": range(config.channels),
            "row": range(MACHINE.step_result_tiles * result_rows(config)),
            **{name: range(words) for name in (*OPERANDS, "out")},
            "address": 32,
        }
    )


def walk_members(config: ArrayConfig, words: int) -> dict[str, wiring.Member]:
    """Members of every walk.

    ``commands``, ``marks``; ``coming``: a slot is decided on, and ``slot`` with ``valid`` a cycle later; of
    the instruction: ``settings``, ``bits`` of its codes, and the lanes ``across`` and ``down`` within the
    last tiles of an image; ``begins``: a unit of the mark does; ``working``: slots may come; ``early``: so
    long none came that new settings come behind the last one's; ``empty``: no slot of this engine is in the
    lanes; ``idle``.
    """
    return {
        "commands": In(stream.Signature(COMMAND)),
        "marks": In(MARKS),
        "coming": Out(1),
        "slot": Out(slot_layout(config, words)),
        "valid": Out(1),
        "settings": Out(SETTINGS),
        "bits": Out(BITS_WIDTH),
        "across": Out(config.cols),
        "down": Out(config.cols),
        "begins": Out(1),
        "working": Out(1),
        "early": In(1),
        "empty": In(1),
        "idle": Out(1),
    }


_WIDTH_LANES = 8
"""Lanes that share a copy of the width."""


def encoded(bits):
    """The place of the one bit that is set."""
    return Cat(
        Cat(bit for place, bit in enumerate(bits) if place >> n & 1).any()
        for n in range((len(bits) - 1).bit_length())
    )


class _Count:
    """Counts down to 1, and has in a register whether it is there."""

    def __init__(self, m: Module, first, name: str) -> None:
        self._m, self._first = m, first
        self.left = Signal.like(first, name=f"{name}_left", reset_less=True)
        self.last, self._single = (
            Signal(name=f"{name}_{state}", reset_less=True) for state in ("last", "single")
        )
        m.d.sync += self._single.eq(first == 1)

    def load(self) -> None:
        """From the first on again."""
        self._m.d.sync += [self.left.eq(self._first), self.last.eq(self._single)]

    def down(self) -> None:
        """To the next."""
        self._m.d.sync += [self.left.eq(self.left - 1), self.last.eq(self.left == 2)]


class Places:
    """Where a walk is: counters, the scratch words of its operands, and the slot that they make.

    A cycle decides that a slot comes and what ends with it, by counters that know whether they stand at their
    last; the next one shows the slot and its places, which copies of what was decided move on.
    ``groups``: the field of ``word`` that counts groups of channels.
    """

    prepare_cycles = Decode.latency_cycles + 2
    """From a command to its settings."""

    def __init__(self, m: Module, walk, code: Code, groups: str) -> None:
        self.m, self.walk, self.code, self.group = m, walk, code, walk.config.group_channels
        m.submodules.decode = self.decode = Decode(DRAINS if code is Code.DRAIN else APPLIES)
        m.submodules.gate = self.gate = Gate()
        self.ended = Signal()
        """The instruction is done, and the lanes will not see the settings change; for one cycle."""
        self.command, (begun,), self.vacant = hold(m, walk.commands, Const(1), self.ended, 1)
        settling = Signal(self.prepare_cycles - 2)
        m.d.sync += settling.eq(Cat(begun, settling))
        self.prepared = settling[-1]
        """Settings are there from the next cycle on."""
        self.word = data.View(fields(code), self.command.word)
        self.settings = self.decode.settings
        self.groups = getattr(self.word, groups)
        m.d.comb += [
            self.decode.bits.eq(self.command.slot_a.bits),
            self.gate.marks.eq(walk.marks),
            self.gate.waits.eq(data.View(WAITS, Cat(wait.as_value() for wait in waits(self.command.word)))),
            walk.settings.eq(self.settings),
            walk.bits.eq(self.command.slot_a.bits),
        ]
        self.load = Signal()
        self.step = Signal()
        """The instruction begins; a slot of its words comes."""
        m.d.comb += self.gate.load.eq(self.load)
        self._order()
        self._move()
        self._edges()
        self._slot()

    def _order(self) -> None:
        """What ends with this slot: the word, its group, its tile, the image, all."""
        m, word, settings = self.m, self.word, self.settings
        firsts = {"groups": self.groups, "tiles": word.tiles, "strips": word.strips, "images": word.images}
        self.counts = {name: _Count(m, first, name) for name, first in firsts.items()}
        groups, tiles, strips, images = self.counts.values()
        self.inner = Signal(range(self.group))
        self.part = Signal(PARTS, init=1)
        """One bit of so many."""
        self.clear, self.fresh, self.first_inner = (
            Signal(name=name) for name in ("clear", "fresh", "first_inner")
        )
        self.again = Signal()
        """The word's operands are read from the first on."""
        self.ends = ends = {name: Signal(name=f"{name}_ends") for name in _ENDS}
        split, last_inner = (Signal(name=name) for name in ("split", "last_inner"))
        # A group has at least `LEAST_GROUP` words: cycles to find out whether it is the last of more.
        self.last_image, self.last_all = (Signal(name=f"last_of_{name}") for name in ("image", "all"))
        m.d.sync += [
            split.eq(settings.parts | self._collide()),
            self.last_image.eq(groups.last & tiles.last),
            self.last_all.eq(groups.last & tiles.last & images.last),
        ]
        # Of the slot that comes next, behind one and else: it is the last word of its group, the last part of
        # its word. What a group is the last of is known before its last word comes, for the same reason.
        inner_last = Mux(ends["word"], self.inner == self.group - 2, last_inner), last_inner
        part_last = ~ends["word"] & self.part[-2], self.part[-1] & ~self.again
        word_last = [~split | part for part in part_last]
        group_last = [inner & word for inner, word in zip(inner_last, word_last, strict=True)]
        inner_after = Mux(self.step, *inner_last)
        self.group_after = group_after = Mux(self.step, *group_last)
        ends["image"], next_image = copies(
            m, group_after & self.last_image, 2, "image_ends", reset_less=False
        )
        m.d.sync += [
            ends["word"].eq(Mux(self.step, *word_last)),
            ends["group"].eq(group_after),
            ends["tile"].eq(group_after & groups.last),
            ends["all"].eq(group_after & self.last_all),
        ]
        with m.If(self.step):
            m.d.sync += self.part.eq(Mux(ends["word"], 1, self.part << 1))
            with m.If(ends["word"]):
                m.d.sync += [self.inner.eq(self.inner + 1), self.first_inner.eq(last_inner)]
            with m.If(ends["group"]):
                groups.down()
            with m.If(ends["tile"]):
                m.d.sync += [self.clear.eq(0), self.fresh.eq(ends["image"])]
                groups.load()
                tiles.down()
                with m.If(strips.last):
                    strips.load()
                with m.Else():
                    strips.down()
            with m.If(ends["image"]):
                tiles.load()
            with m.If(next_image):
                strips.load()
                images.down()
        few, more, counted = copies(m, self.load, 3, "loads", reset_less=False)
        m.d.sync += last_inner.eq(inner_after)
        with m.If(self.again):
            m.d.sync += self.part.eq(1)
        with m.If(few):
            m.d.sync += [
                *(item.eq(0) for item in (self.inner, last_inner)),
                *(item.eq(1) for item in (self.part, self.first_inner, self.clear, self.fresh)),
            ]
        for load, some in ((more, (groups, tiles)), (counted, (strips, images))):
            with m.If(load):
                for count in some:
                    count.load()

    def _collide(self):
        """Whether operands lie in one bank, so that they come in a cycle each; a tensor stays in its bank."""
        m, settings = self.m, self.settings
        self.places = {
            name: Signal(range(self.walk.words), name=f"place_{name}", reset_less=True)
            for name in (*OPERANDS, "out")
        }
        self.bank_at = (bank_words(self.walk.words) - 1).bit_length()
        self.reads = Cat(settings.reads_y, settings.reads_other, settings.reads_mask)
        pairs = [(a, b) for b in range(len(OPERANDS)) for a in range(b)]
        alike = Signal(len(pairs), reset_less=True)
        for n, (a, b) in enumerate(pairs):
            one, other = (self.places[OPERANDS[item]][self.bank_at :] for item in (a, b))
            m.d.sync += alike[n].eq(self.reads[a] & self.reads[b] & (one == other))
        self.collide = Signal(reset_less=True)
        m.d.sync += self.collide.eq(alike.any() & ~settings.parts)
        return alike.any()

    def _move(self) -> None:
        """Places, and channels, of the slot that is shown."""
        m, word, slot = self.m, self.word, self.walk.slot
        self.index = Signal.like(slot.index)
        self.channel = Signal.like(slot.channel)
        moving = {**self.places, "index": self.index, "channel": self.channel}
        moves = copies(m, self.step & self.ends["word"], len(moving), "moves", reset_less=False)
        loads = copies(m, self.load, len(moving), "begins", reset_less=False)
        (self.next_tile,) = self.behind("tile", 1)
        self.loads = dict(zip(moving, loads, strict=True))
        after = {name: place + 1 for name, place in moving.items()}
        after["channel"] = self.channel + ~self.settings.one_channel
        if self.code is Code.DRAIN:
            after |= self._sums()
        for (name, place), move in zip(moving.items(), moves, strict=True):
            with m.If(move):
                m.d.sync += place.eq(after[name])
        with m.If(self.next_tile | self.loads["index"]):
            m.d.sync += self.index.eq(0)
        with m.If(self.next_tile | self.loads["channel"]):
            m.d.sync += self.channel.eq(word.channel)

    def _sums(self):
        """Next places of a GRADIENT's sums, all columns of a row side by side, and of other results."""
        m, parts, out = self.m, self.settings.parts, self.word.out
        step = Signal(range(self.walk.words), reset_less=True)
        column = Signal(range(self.walk.words), reset_less=True)
        """Of the column of tiles that comes next."""
        m.d.sync += step.eq(Mux(parts, self.word.tiles * SUM_WORDS, 1))
        names = ("other", "out")
        *back, counts = copies(m, self.step & self.ends["tile"] & parts, 3, "columns", reset_less=False)
        with m.If(counts):
            m.d.sync += column.eq(column + SUM_WORDS)
        with m.If(self.loads["out"]):
            m.d.sync += column.eq(out + SUM_WORDS)
        return {
            name: Mux(returns, column, self.places[name]) + Mux(returns, 0, step)
            for name, returns in zip(names, back, strict=True)
        }

    def behind(self, end: str, count: int) -> list:
        """``count`` copies of what is high while the slot is shown that ends such a one."""
        return copies(self.m, self.step & self.ends[end], count, f"next_{end}", reset_less=False)

    def place(self, values) -> None:
        """The operands' first words, by name; registers, or what stays."""
        for name, value in values.items():
            with self.m.If(self.loads[name]):
                self.m.d.sync += self.places[name].eq(value)

    def _edges(self) -> None:
        """Lanes that hold pixels in the last tile of a row, and in the last row of tiles."""
        m, word, columns = self.m, self.word, self.walk.config.cols
        inside, above, across, down = (
            Signal(columns, name=name, reset_less=True)
            for name in ("lanes_inside", "lanes_above", "in_tile", "in_rows")
        )
        # A copy of the width for some lanes each, or they would be found one from the other.
        widths = copies(m, word.width, -(-columns // _WIDTH_LANES), "width")
        m.d.sync += [
            inside.eq(Cat(lane < widths[lane // _WIDTH_LANES] for lane in range(columns))),
            above.eq(Cat(lane <= word.rows_last for lane in range(columns))),
        ]
        with m.Switch(word.pitch_log2):
            for log2 in range((FILL_PIXELS - 1).bit_length(), columns.bit_length()):
                with m.Case(log2):
                    m.d.sync += [
                        across.eq(Cat(inside[lane % (1 << log2)] for lane in range(columns))),
                        down.eq(Cat(above[lane >> log2] for lane in range(columns))),
                    ]
        # Sums of weights' gradients are no pixels.
        parts = [Const(0), Const(0)]
        if self.code is Code.DRAIN:
            parts = copies(m, self.settings.parts, 2, "whole")
        m.d.sync += [
            edge.eq(lanes | whole.replicate(columns))
            for edge, lanes, whole in zip(
                (self.walk.across, self.walk.down), (across, down), parts, strict=True
            )
        ]

    def _slot(self) -> None:
        """The slot that is decided on, and a cycle later shown."""
        m, slot, settings, word = self.m, self.walk.slot, self.settings, self.word
        groups, tiles, strips, _ = self.counts.values()
        self.flags = Signal(_FLAGS)
        shown = Signal(_FLAGS, reset_less=True)
        flags = self.flags
        m.d.comb += [
            flags.final.eq(settings.parts | self.ends["word"]),
            flags.part.eq(Mux(settings.parts, encoded(self.part), 0)),
            flags.reads.eq(self.reads & (self.part | (~self.collide).replicate(PARTS))),
            flags.clear.eq(self.clear & word.clear),
            flags.fresh.eq(self.fresh),
            flags.right.eq(strips.last),
            flags.bottom.eq(tiles.left <= word.strips),
            flags.first.eq(self.first_inner),
            flags.last.eq(groups.last),
            flags.walk.eq(
                Mux(
                    self.ends["image"],
                    Way.IMAGE,
                    Mux(self.ends["tile"], Mux(strips.last, Way.DOWN, Way.RIGHT), Way.CHANNEL),
                )
            ),
        ]
        m.d.sync += [shown.eq(flags), self.walk.valid.eq(self.walk.coming)]
        m.d.comb += [
            *(getattr(slot, name).eq(getattr(shown, name)) for name, _ in _FLAGS),
            *(getattr(slot, name).eq(place) for name, place in self.places.items()),
            slot.index.eq(self.index),
            slot.channel.eq(self.channel),
        ]

    def begin(self) -> None:
        """A unit of the mark begins; the next one is asked for."""
        self.m.d.comb += [self.gate.advance.eq(1), self.walk.begins.eq(1)]

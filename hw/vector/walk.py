"""What walks of drain and apply share: counters over images, tiles and channels, and slots made of them."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.floats import CHANNELS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import Code
from cpt.hw.contract.tiles import FILL_PIXELS
from cpt.hw.layouts import BITS_WIDTH, result_rows
from cpt.hw.program.gate import Gate
from cpt.hw.program.layouts import COMMAND, MARKS, WAITS, fields, waits
from cpt.hw.vector.kinds import SETTINGS, Decode
from cpt.hw.vector.noise import Walk as Way
from cpt.hw.vector.row import PARTS
from cpt.hw.vector.scratch import bank_words

IN_WORDS_LOG2 = 8
"""Short scratch addresses count in so many words."""
OPERANDS = ("y", "other", "mask")
_FLAGS = ("final", "sums", "frees", "clear", "fresh", "right", "bottom", "real", "ends", "first", "last")


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
            **dict.fromkeys(_FLAGS, 1),
            "channel": range(CHANNELS),
            "index": range(CHANNELS),
            "part": range(PARTS),
            "row": range(MACHINE.result_tiles * result_rows(config)),
            "reads": len(OPERANDS),
            **{name: range(words) for name in (*OPERANDS, "out")},
            "address": 32,
            "walk": Way,
        }
    )


def walk_members(config: ArrayConfig, words: int) -> dict[str, wiring.Member]:
    """Members of every walk.

    ``commands``, ``marks``; ``slot`` while ``valid``, taken if ``go``; of the instruction: ``settings``,
    ``bits`` of its codes, and the lanes ``across`` and ``down`` within the last tiles of an image;
    ``begins``: a unit of the mark does; ``empty``: no slot of this engine is in the lanes; ``idle``.
    """
    return {
        "commands": In(stream.Signature(COMMAND)),
        "marks": In(MARKS),
        "slot": Out(slot_layout(config, words)),
        "valid": Out(1),
        "go": In(1),
        "settings": Out(SETTINGS),
        "bits": Out(BITS_WIDTH),
        "across": Out(config.cols),
        "down": Out(config.cols),
        "begins": Out(1),
        "empty": In(1),
        "idle": Out(1),
    }


class Places:
    """Where a walk is: counters, the scratch words of its operands, and the slot that they make.

    ``groups``: the field of ``word`` that counts groups of channels.
    """

    prepare_cycles = Decode.latency_cycles + 2
    """From a command to its settings."""

    def __init__(self, m: Module, walk, code: Code, groups: str) -> None:
        self.m, self.walk, self.group = m, walk, walk.config.group_channels
        m.submodules.decode = self.decode = Decode()
        m.submodules.gate = self.gate = Gate()
        self.command = Signal(COMMAND)
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
        word = self.word
        self.images, self.tiles, self.strips = (
            Signal.like(field, name=name)
            for name, field in (("images", word.images), ("tiles", word.tiles), ("strips", word.strips))
        )
        self.group_left, self.inner = Signal.like(self.groups, name="group_left"), Signal(range(self.group))
        self.index, self.part = Signal(range(CHANNELS)), Signal(range(PARTS))
        self.clear, self.fresh = Signal(), Signal()
        self.places = {name: Signal(range(walk.words), name=f"place_{name}") for name in (*OPERANDS, "out")}
        self._ends()
        self._edges()
        self._slot()

    def _ends(self) -> None:
        """What ends with this slot: the word, its group, its tile, the image, all."""
        settings, places = self.settings, self.places
        bank = {
            name: place[(bank_words(self.walk.words) - 1).bit_length() :] for name, place in places.items()
        }
        self.bank_bits = len(bank["out"])
        self.reads = Cat(settings.reads_y, settings.reads_other, settings.reads_mask)
        pairs = [(a, b) for b in range(len(OPERANDS)) for a in range(b)]
        # Operands that lie in one bank come in a cycle each.
        self.collide = Cat(
            self.reads[a] & self.reads[b] & (bank[OPERANDS[a]] == bank[OPERANDS[b]]) for a, b in pairs
        ).any()
        word = ~(settings.parts | self.collide) | (self.part == PARTS - 1)
        group = word & (self.inner == self.group - 1)
        tile = group & (self.group_left == 1)
        image = tile & (self.tiles == 1)
        found = {
            "word": word,
            "group": group,
            "tile": tile,
            "image": image,
            "all": image & (self.images == 1),
        }
        self.ends = {name: Signal(name=f"{name}_ends") for name in found}
        self.m.d.comb += [signal.eq(found[name]) for name, signal in self.ends.items()]

    def _edges(self) -> None:
        """Lanes that hold pixels in the last tile of a row, and in the last row of tiles."""
        m, word, columns = self.m, self.word, self.walk.config.cols
        with m.Switch(word.pitch_log2):
            for log2 in range((FILL_PIXELS - 1).bit_length(), columns.bit_length()):
                with m.Case(log2):
                    across = Cat(lane % (1 << log2) < word.width for lane in range(columns))
                    down = Cat(lane >> log2 <= word.rows_last for lane in range(columns))
                    m.d.sync += [self.walk.across.eq(across), self.walk.down.eq(down)]
        with m.If(self.settings.parts):
            m.d.sync += [self.walk.across.eq(-1), self.walk.down.eq(-1)]

    def _slot(self) -> None:
        slot, settings, word = self.walk.slot, self.settings, self.word
        alone = self.collide & ~settings.parts
        right = self.strips == 1
        self.m.d.comb += [
            slot.final.eq(settings.parts | self.ends["word"]),
            slot.channel.eq(word.channel + Mux(settings.one_channel, 0, self.index)),
            slot.index.eq(self.index),
            slot.part.eq(Mux(settings.parts, self.part, 0)),
            slot.reads.eq(self.reads & Mux(alone, 1 << self.part, (1 << len(OPERANDS)) - 1)),
            slot.clear.eq(self.clear & word.clear),
            slot.fresh.eq(self.fresh),
            slot.right.eq(right),
            slot.bottom.eq(self.tiles <= word.strips),
            slot.first.eq(self.inner == 0),
            slot.last.eq(self.group_left == 1),
            *(getattr(slot, name).eq(place) for name, place in self.places.items()),
        ]
        self.m.d.comb += slot.walk.eq(Way.CHANNEL)
        with self.m.If(self.ends["image"]):
            self.m.d.comb += slot.walk.eq(Way.IMAGE)
        with self.m.Elif(self.ends["tile"]):
            self.m.d.comb += slot.walk.eq(Mux(right, Way.DOWN, Way.RIGHT))

    def take(self) -> None:
        """A command is taken."""
        self.m.d.sync += self.command.eq(self.walk.commands.payload)

    def load(self, places) -> None:
        """The instruction begins, with its operands' first words."""
        word = self.word
        self.m.d.sync += [
            self.images.eq(word.images),
            self.tiles.eq(word.tiles),
            self.strips.eq(word.strips),
            self.group_left.eq(self.groups),
            *(item.eq(0) for item in (self.inner, self.part, self.index)),
            self.clear.eq(1),
            self.fresh.eq(1),
            *(self.places[name].eq(place) for name, place in places.items()),
        ]
        self.m.d.comb += self.gate.load.eq(1)

    def begin(self) -> None:
        """A unit of the mark begins; the next one is asked for."""
        self.m.d.comb += [self.gate.advance.eq(1), self.walk.begins.eq(1)]

    def advance(self) -> None:
        """To the next slot."""
        m, word, ends = self.m, self.word, self.ends
        m.d.sync += self.part.eq(self.part + 1)
        with m.If(ends["word"]):
            m.d.sync += [
                self.part.eq(0),
                self.inner.eq(self.inner + 1),
                self.index.eq(self.index + 1),
                *(place.eq(place + 1) for place in self.places.values()),
            ]
        with m.If(ends["group"]):
            m.d.sync += [self.inner.eq(0), self.group_left.eq(self.group_left - 1)]
        with m.If(ends["tile"]):
            m.d.sync += [
                self.index.eq(0),
                self.group_left.eq(self.groups),
                self.clear.eq(0),
                self.fresh.eq(0),
                self.tiles.eq(self.tiles - 1),
                self.strips.eq(Mux(self.strips == 1, word.strips, self.strips - 1)),
            ]
        with m.If(ends["image"]):
            m.d.sync += [
                self.tiles.eq(word.tiles),
                self.strips.eq(word.strips),
                self.fresh.eq(1),
                self.images.eq(self.images - 1),
            ]

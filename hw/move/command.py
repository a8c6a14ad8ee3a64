"""A BRING or STORE as its parts take it: lengths in the units that are moved."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from cpt.hw.channel.ports import PAIR
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.passes import Bring, Store
from cpt.hw.contract.step import FORMATS, Code
from cpt.hw.layouts import RUN_BEATS_WIDTH
from cpt.hw.matrix.copies import KEEP
from cpt.hw.program.layouts import COMMAND, fields
from cpt.hw.vector.ports import NUMBER_BITS

_WIDTHS = {item.name: item.width for item in FORMATS[Code.STORE]}
PLACE_BITS, COUNT_BITS = _WIDTHS["place"], _WIDTHS["words"]

_SEEN_BITS = 6
"""Bits of a number that one LUT looks at."""


def beats_of_word(config: ArrayConfig) -> int:
    """Beats of a word of scratch."""
    return config.cols * NUMBER_BITS // (8 * BEAT_BYTES)


PLACES = data.StructLayout(
    {"place": PLACE_BITS, "next": PLACE_BITS, "stride": COUNT_BITS, "units": COUNT_BITS, "runs": COUNT_BITS}
)
"""Where units lie on chip: the first of the first run and of the second, from run to run, how many."""
STRETCH = data.StructLayout({"addr": 32, "stride": 32, "beats": RUN_BEATS_WIDTH, "runs": COUNT_BITS})
"""Where they lie in memory: byte of the first run, bytes from one to the next, beats of each, runs."""
KINDS = {
    Code.BRING: {"local": Bring.LOCAL, "bytes": Bring.BYTES},
    Code.STORE: {"local": Store.LOCAL, "pack": Store.PACK},
}
"""What says which kind it is: ``local``: pairs of local memory are moved, else words of scratch; ``bytes``:
lanes are bytes in memory; ``pack``: `Pack` is meant."""


def decoded(code: Code) -> data.StructLayout:
    """What `Decode` finds: places on chip, runs in memory, flags of `KINDS`."""
    return data.StructLayout({"places": PLACES, "stretch": STRETCH, **dict.fromkeys(KINDS[code], 1)})


class Decode(wiring.Component):
    """Lengths and places of an instruction that is held.

    Parameters: ``config``; ``code``: which.
    Members: ``command``, ``decoded``: what it says, `latency_cycles` later.
    """

    latency_cycles = 3
    """Flags; lengths; the second run's place."""

    def __init__(self, config: ArrayConfig, code: Code):
        self.config, self.code = config, code
        super().__init__({"command": In(COMMAND), "decoded": Out(decoded(code))})

    def elaborate(self, platform):
        m = Module()
        word = data.View(fields(self.code), self.command.word)
        places, stretch = self.decoded.places, self.decoded.stretch
        beats = bits_for(beats_of_word(self.config)) - 1
        apart = [
            Signal(-(-COUNT_BITS // _SEEN_BITS), name=f"apart_{n}", reset_less=True, attrs=KEEP)
            for n in range(2)
        ]
        """Parts of the stride on chip that are not 0."""
        local = [Signal(name=f"local_{n}", attrs=KEEP) for n in range(4)]
        kinds = KINDS[self.code]
        m.d.sync += [
            *(
                part.eq(word.place_stride.word_select(n, _SEEN_BITS).any())
                for flags in apart
                for n, part in enumerate(flags)
            ),
            *(flag.eq(word.kind == kinds["local"]) for flag in local),
            *(self.decoded[name].eq(word.kind == kind) for name, kind in kinds.items()),
            stretch.addr.eq(self.command.address),
            stretch.stride.eq(word.stride),
            stretch.runs.eq(word.runs),
            places.runs.eq(word.runs),
        ]
        # Local memory is reached in pairs of words, each a beat.
        shift = PAIR.bit_length() - 1
        stride = Signal(COUNT_BITS)
        half = COUNT_BITS // len(apart)
        m.d.comb += stride.eq(
            Cat(
                Mux(flags.any(), word.place_stride.word_select(n, half), word.words.word_select(n, half))
                for n, flags in enumerate(apart)
            )
        )
        m.d.sync += [
            places.place.eq(Mux(local[0], word.place >> shift, word.place)),
            places.stride.eq(Mux(local[2], stride >> shift, stride)),
            places.units.eq(Mux(local[1], word.words >> shift, word.words)),
        ]
        with m.If(local[3]):
            m.d.sync += stretch.beats.eq(word.words >> shift)
        with m.Else():
            m.d.sync += stretch.beats.eq(word.words << beats)
        if "bytes" in kinds:
            with m.If(self.decoded.bytes):
                m.d.sync += stretch.beats.eq(word.words << beats >> 1)
        m.d.sync += places.next.eq(places.place + places.stride)
        return m

"""A PACK as its parts take it: where codes lie from one to the next, where planes go."""

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, exact_log2

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES, MAX_BITS, TAPS
from cpt.hw.contract.floats import LOCAL_WORDS
from cpt.hw.contract.step import FORMATS, Code
from cpt.hw.layouts import BITS_WIDTH
from cpt.hw.program.layouts import COMMAND, fields

LOCAL_BITS = bits_for(LOCAL_WORDS - 1)
"""Of the address of a local word: sums of addresses go round."""
_WIDTHS = {item.name: item.width for item in FORMATS[Code.STORE]}
_MOST_CODES = 1 << _WIDTHS["ksteps"]
"""More K steps than there are."""


def _times(value, constant: int):
    """``value * constant`` by shifts, which need no multiplier: constants here have two bits set."""
    return sum((value << bit for bit in range(constant.bit_length()) if constant >> bit & 1), Const(0, 1))


def step_beats(config: ArrayConfig) -> int:
    """Beats of a plane of a K step: a word for every row."""
    return config.group_bytes("a") // BEAT_BYTES


def left_bits(config: ArrayConfig) -> int:
    """Of a count that goes below 0 where channels or rows are beyond the last."""
    return bits_for(max(1 << _WIDTHS["words"], _MOST_CODES * config.word_bits)) + 1


def pack_command(config: ArrayConfig) -> data.StructLayout:
    """``place``: of the first code; words to the next ``channel``, ``part`` of a word, ``row``, K step and
    tile; ``channels``, ``rows``, ``ksteps`` as in the instruction; ``one``: channels go on from part to part;
    ``addr``: of the first plane; bytes to the next plane and tile; ``bits``: planes.
    """
    steps = ("channel", "part", "row", "step", "tile")
    return data.StructLayout(
        {
            "place": LOCAL_BITS,
            **{f"to_{name}": LOCAL_BITS for name in steps},
            "channels": _WIDTHS["words"],
            "rows": _WIDTHS["runs"],
            "ksteps": _WIDTHS["ksteps"],
            "one": 1,
            "addr": 32,
            "plane_bytes": 32,
            "tile_bytes": 32,
            "bits": BITS_WIDTH,
        }
    )


class PackDecode(wiring.Component):
    """Places of a PACK that is held.

    Parameters: ``config``. Members: ``command``, ``decoded``: what it says, `latency_cycles` later.
    """

    latency_cycles = 3
    """Signs; steps; sums."""

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__({"command": In(COMMAND), "decoded": Out(pack_command(config))})

    def elaborate(self, platform):
        m = Module()
        word = data.View(fields(Code.STORE), self.command.word)
        out, group = self.decoded, exact_log2(self.config.group_channels)
        turned = Signal()
        part, lead, group_step = (
            Signal(LOCAL_BITS, name=name, reset_less=True) for name in ("part", "lead", "group_step")
        )
        all_ksteps = Signal.like(word.ksteps, reset_less=True)
        m.d.comb += group_step.eq(out.to_channel << group)
        m.d.sync += [
            turned.eq(word.stride[-1]),
            out.to_channel.eq(Mux(word.stride[-1], -word.stride, word.stride)),
            out.one.eq(word.place_stride == 0),
            # Turned, the first part of a word is the last tap.
            part.eq(Mux(turned, -word.place_stride, word.place_stride)),
            lead.eq(Mux(turned, _times(word.place_stride, TAPS - 1), 0)),
            out.to_part.eq(Mux(out.one, group_step, part)),
            out.to_step.eq(Mux(out.one, _times(group_step, TAPS), group_step)),
            out.place.eq(word.place + lead),
            out.to_row.eq(word.row_stride),
            out.to_tile.eq(word.row_stride << group),
            out.channels.eq(word.words),
            out.rows.eq(word.runs),
            out.ksteps.eq(word.ksteps),
            out.addr.eq(self.command.address),
            all_ksteps.eq(Mux(word.all_ksteps == 0, word.ksteps, word.all_ksteps)),
            out.plane_bytes.eq(_times(all_ksteps, self.config.group_bytes("a"))),
            out.tile_bytes.eq(_times(out.plane_bytes, MAX_BITS)),
            out.bits.eq(self.command.slot_a.bits),
        ]
        return m

"""Two packers, a write port each, that take groups of codes by turns."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.contract import ArrayConfig
from cpt.hw.layouts import BEAT_BITS, RUN
from cpt.hw.matrix.copies import KEEP
from cpt.hw.vector.packer import Packer
from cpt.hw.vector.ports import code_words

PORTS = 2


class Packers(wiring.Component):
    """Deals groups of codes to two `Packer`, and says of tiles that are in memory in the order they came in.

    Parameters: ``config``.
    Members: ``words`` (`code_words`): groups, of which the first goes to packer 0; ``runs_0``, ``beats_0``,
    ``answered_0``, ``runs_1``, ``beats_1``, ``answered_1``: to and from each one's `WriteMaster`; ``done``:
    all codes of the next tile are in memory; ``idle``: nothing is held or unanswered.
    A word a cycle while a group is free; each port a beat a cycle, as of `Packer`.
    """

    least_cycles = 12
    """From a tile's last word to its `done`, however soon the bus answers."""

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "words": In(stream.Signature(code_words(config))),
                **{f"runs_{n}": Out(stream.Signature(RUN)) for n in range(PORTS)},
                **{f"beats_{n}": Out(stream.Signature(BEAT_BITS)) for n in range(PORTS)},
                **{f"answered_{n}": In(1) for n in range(PORTS)},
                "done": Out(1),
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        packers = [Packer(self.config) for _ in range(PORTS)]
        for n, packer in enumerate(packers):
            m.submodules[f"packer_{n}"] = packer
            connect(m, packer.runs, flipped(getattr(self, f"runs_{n}")))
            connect(m, packer.beats, flipped(getattr(self, f"beats_{n}")))
            m.d.comb += packer.answered.eq(getattr(self, f"answered_{n}"))

        # Groups are counted, a word each channel. A register says who takes words: it has the turn, and room
        # for a group, which only its own groups take.
        turn = Signal()
        count = Signal(range(self.config.group_channels))
        last = Signal()
        goes = [Signal(name=f"go_{n}", attrs=KEEP) for n in range(PORTS)]
        go = Signal(attrs=KEEP)
        taken = Signal()
        following = []
        for n, packer in enumerate(packers):
            m.d.comb += [
                packer.words.payload.eq(self.words.payload),
                packer.words.valid.eq(self.words.valid),
                packer.go.eq(goes[n]),
            ]
            turns = turn == n
            following.append(Mux(taken & last, ~turns & packer.room, goes[n] | (turns & packer.room)))
        m.d.comb += [self.words.ready.eq(go), taken.eq(self.words.valid & go)]
        m.d.sync += [
            go.eq(following[0] | following[1]),
            *(flag.eq(after) for flag, after in zip(goes, following, strict=True)),
        ]
        with m.If(taken):
            m.d.sync += [
                count.eq(count + 1),
                last.eq(count == self.config.group_channels - 2),
                turn.eq(turn ^ last),
            ]

        ends = Signal()
        """Whose group ends next."""
        ended = Signal()
        m.d.comb += [
            *(packer.ended.ready.eq(ends == n) for n, packer in enumerate(packers)),
            ended.eq(Cat(packer.ended.valid & packer.ended.ready for packer in packers).any()),
            self.idle.eq(packers[0].idle & packers[1].idle),
        ]
        m.d.sync += [
            ends.eq(ends ^ ended),
            self.done.eq(ended & Mux(ends, packers[1].ended.payload, packers[0].ended.payload)),
        ]
        return m

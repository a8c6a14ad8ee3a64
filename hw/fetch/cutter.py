"""Cuts the words of the memory stream into steps."""

from amaranth import Array, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.tiles import STREAM_BYTES, step_bits
from cpt.hw.matrix.copies import KEEP, MOST_LOADS

STREAM_BITS = 8 * STREAM_BYTES


class Cutter(wiring.Component):
    """Words in address order, of both ports together, as steps of 8 pixels.

    Parameters: ``config``.
    Members: ``words`` (in), ``steps`` (out); ``flush``: what the word holds behind the step that is taken now
    is not wanted.
    A step a cycle, no latency.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "words": In(stream.Signature(STREAM_BITS)),
                "steps": Out(stream.Signature(step_bits(config))),
                "flush": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        size = step_bits(self.config)
        parts = STREAM_BITS // size
        last = Signal()
        # A copy of the index for each few bits that it chooses.
        few = min(size, MOST_LOADS // 2)
        indices = [Signal(range(parts), name=f"index_{n}", attrs=KEEP) for n in range(size // few)]
        m.d.comb += [
            last.eq((indices[0] == parts - 1) | self.flush),
            self.steps.valid.eq(self.words.valid),
            self.words.ready.eq(self.steps.ready & last),
        ]
        for n, index in enumerate(indices):
            choices = [self.words.payload[size * part + few * n :][:few] for part in range(parts)]
            m.d.comb += self.steps.payload[few * n : few * (n + 1)].eq(Array(choices)[index])
            with m.If(self.steps.valid & self.steps.ready):
                m.d.sync += index.eq(Mux(last, 0, index + 1))
        return m

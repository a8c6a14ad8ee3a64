"""Cuts the words of the memory stream into steps."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.tiles import STREAM_BYTES, step_bits

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
        index, last = Signal(range(parts)), Signal()
        m.d.comb += [
            last.eq((index == parts - 1) | self.flush),
            self.steps.valid.eq(self.words.valid),
            self.steps.payload.eq(self.words.payload.word_select(index, size)),
            self.words.ready.eq(self.steps.ready & last),
        ]
        with m.If(self.steps.valid & self.steps.ready):
            m.d.sync += index.eq(index + 1)
            with m.If(last):
                m.d.sync += index.eq(0)
        return m

"""STORE PACK: codes of weights in local memory to planes of operand A."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.channel.ports import local_read
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import MAX_BITS
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import BEAT_BITS
from cpt.hw.move.code_walker import CodeWalker
from cpt.hw.move.command import STRETCH
from cpt.hw.move.pack_command import PackDecode
from cpt.hw.move.plane_buffer import PlaneBuffer
from cpt.hw.program.layouts import COMMAND


class Pack(wiring.Component):
    """Reads a K step's codes, one a cycle, and then writes its planes, a run each.

    Parameters: ``config``.
    Members: ``command``: the instruction that is held, three cycles before ``start``; ``pairs``: local
    memory; ``stretch``: runs that are to be written, with ``go``, once ``ready`` says that those before are
    accepted; ``final``: there are no more; ``beats`` (out): their data.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "command": In(COMMAND),
                "start": In(1),
                "pairs": Out(local_read()),
                "stretch": Out(STRETCH),
                "go": Out(1),
                "ready": In(1),
                "final": Out(1),
                "beats": Out(stream.Signature(BEAT_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.decode = decode = PackDecode(self.config)
        m.submodules.walker = walker = CodeWalker(self.config)
        m.submodules.buffer = buffer = PlaneBuffer(self.config)
        connect(m, buffer.beats, flipped(self.beats))
        code, port = walker.codes.payload, self.pairs
        m.d.comb += [
            decode.command.eq(self.command),
            walker.command.eq(decode.decoded),
            walker.start.eq(self.start),
            walker.written.eq(buffer.empty),
            self.stretch.eq(walker.stretch),
            self.final.eq(walker.final),
            buffer.bits.eq(decode.decoded.bits),
            port.valid.eq(walker.codes.valid & code.exists),
            port.addr.eq(code.addr >> 1),
            walker.codes.ready.eq(port.ready | ~code.exists),
        ]
        # A code that is not there takes as long as one that is read.
        stage = data.StructLayout({"valid": 1, "exists": 1, "odd": 1, "last": 1})
        coming = Signal(data.ArrayLayout(stage, MACHINE.local_cycles))
        now = coming[MACHINE.local_cycles - 1]
        m.d.sync += [
            coming[0].valid.eq(walker.codes.valid & walker.codes.ready),
            coming[0].exists.eq(code.exists),
            coming[0].odd.eq(code.addr[0]),
            coming[0].last.eq(code.last),
            *(coming[n].eq(coming[n - 1]) for n in range(1, MACHINE.local_cycles)),
            buffer.valid.eq(now.valid),
            buffer.last.eq(now.last),
            buffer.code.eq(Mux(now.exists, Mux(now.odd, port.data[1], port.data[0])[:MAX_BITS], 0)),
        ]
        waits = Signal()
        m.d.comb += self.go.eq(waits & self.ready)
        m.d.sync += waits.eq(buffer.full | (waits & ~self.ready))
        return m

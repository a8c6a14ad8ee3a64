"""Brings operand blocks from memory into one operand buffer."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.axi import MASTER_STATE, READ_STREAMS
from cpt.hw.bus.read_master import ReadMaster
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.control.queue import Queue
from cpt.hw.layouts import load_command
from cpt.hw.load.gearbox import Gearbox
from cpt.hw.load.walker import Walker
from cpt.hw.memory_ports import write_port


class Loader(wiring.Component):
    """One operand's load engine.

    The address side (`Walker`, `ReadMaster`) runs ahead of the data side by up to two blocks. A block
    takes a free half when its first run is issued; ``release`` gives a half back.

    Parameters: ``config``, ``operand`` (``"a"`` or ``"b"``).
    Members: ``commands`` (in); ``ar``, ``r`` (AXI); ``write`` to the operand buffer; ``loaded``: the last
    word of a block is being written; ``release``: EXEC has finished with a block; ``stop``, ``error``,
    ``idle``, ``quiet`` as in `ReadMaster`.
    """

    def __init__(self, config: ArrayConfig, operand: str):
        self.config, self.operand = config, operand
        self._command = load_command(config, operand)
        lanes, half = config.lanes(operand), config.half_words(operand)
        super().__init__(
            {
                "commands": In(stream.Signature(self._command)),
                **READ_STREAMS,
                "write": Out(write_port(MACHINE.halves * half, config.word_bits, lanes)),
                "loaded": Out(1),
                "release": In(1),
                **MASTER_STATE,
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, operand = self.config, self.operand
        m.submodules.walker = walker = Walker(config, operand)
        m.submodules.master = master = ReadMaster()
        m.submodules.gearbox = gearbox = Gearbox(config.lanes(operand), config.word_bits)
        m.submodules.blocks = blocks = Queue(self._command.members["block_words"], MACHINE.halves)

        connect(m, flipped(self.commands), walker.commands)
        connect(m, walker.runs, master.runs)
        connect(m, master.ar, flipped(self.ar))
        connect(m, flipped(self.r), master.r)
        # The queue holds a block's last word, not its words: the comparison behind it is long enough.
        m.d.comb += [
            blocks.i.valid.eq(walker.blocks.valid),
            blocks.i.payload.eq(walker.blocks.payload - 1),
            walker.blocks.ready.eq(blocks.i.ready),
            walker.stop.eq(self.stop),
            walker.release.eq(self.release),
            master.stop.eq(self.stop),
            gearbox.beat_valid.eq(master.beat_valid),
            gearbox.beat.eq(master.beat),
            self.quiet.eq(master.quiet & ~self.error),
            self.idle.eq(walker.idle & master.idle & blocks.empty & ~self.error),
        ]
        m.d.sync += self.error.eq(master.error)

        half_bits = (config.half_words(operand) - 1).bit_length()
        address = Signal(data.StructLayout({"word": half_bits, "half": 1}))
        last = Signal()
        m.d.comb += [
            last.eq(address.word == blocks.o.payload),
            self.write.en.eq(gearbox.valid),
            self.write.addr.eq(address),
            self.loaded.eq(gearbox.valid & last),
            blocks.o.ready.eq(self.loaded),
        ]
        m.d.comb += [out.eq(word) for out, word in zip(self.write.data, gearbox.words, strict=True)]
        with m.If(gearbox.valid):
            m.d.sync += address.word.eq(address.word + 1)
            with m.If(last):
                m.d.sync += [address.word.eq(0), address.half.eq(~address.half)]
        return m

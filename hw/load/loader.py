"""Brings operand blocks from memory into one operand buffer."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.bus.axi import MASTER_STATE, READ_STREAMS
from cpt.hw.bus.outstanding import Outstanding
from cpt.hw.bus.read_master import ReadMaster
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import load_command
from cpt.hw.load.gearbox import Gearbox
from cpt.hw.load.placer import Placer
from cpt.hw.load.walker import Walker
from cpt.hw.memory_ports import write_port


class Loader(wiring.Component):
    """One operand's load engine.

    The address side (`Walker`, `ReadMaster`) runs ahead of the data side by up to two blocks. A block
    takes a free half two cycles before its first run; ``release`` gives a half back.

    Parameters: ``config``, ``operand`` (``"a"`` or ``"b"``).
    Members: ``commands`` (in); ``ar``, ``r`` (AXI); ``write`` to the operand buffer, the data a cycle behind
    enable and address; ``loaded``: the last word of a block is being written; ``release``: EXEC has finished
    with a block; ``stop``, ``error``, ``idle``, ``quiet`` as in `ReadMaster`.
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
        m.submodules.placer = placer = Placer(config.half_words(operand))
        m.submodules.begun = begun = Outstanding(MACHINE.halves)

        connect(m, flipped(self.commands), walker.commands)
        connect(m, walker.runs, master.runs)
        connect(m, walker.blocks, placer.blocks)
        connect(m, master.ar, flipped(self.ar))
        connect(m, flipped(self.r), master.r)
        m.d.comb += [
            walker.stop.eq(self.stop),
            walker.release.eq(self.release),
            master.stop.eq(self.stop),
            gearbox.beat_valid.eq(master.beat_valid),
            gearbox.beat.eq(master.beat),
            begun.issue.eq(walker.blocks.valid),
            begun.finish.eq(self.loaded),
            self.quiet.eq(master.quiet & ~self.error),
            self.idle.eq(walker.idle & master.idle & begun.none & ~self.error),
        ]
        m.d.sync += self.error.eq(master.error)

        coming, writes = gearbox.coming
        m.d.comb += [
            placer.coming.eq(coming),
            self.write.en.eq(writes),
            self.write.addr.eq(placer.addr),
            self.loaded.eq(placer.loaded),
        ]
        m.d.comb += [out.eq(word) for out, word in zip(self.write.data, gearbox.words, strict=True)]
        return m

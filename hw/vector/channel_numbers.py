"""Numbers of every channel, in as few block RAMs as their shapes allow."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.hdl import ShapeLike
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from cpt.hw.matrix.copies import copies

DEEP = 1024
"""Words of a block RAM of 18 bits."""
NARROW_BITS = 9
"""A number of at most so many has room in a block RAM of twice as many words."""
ELEMENT_BITS = 18
"""Bits that a block RAM of 36 bits, of half as many words, writes or leaves as they are."""
CHOSEN_BITS = 16
"""Bits of a number that share a choice."""


class ChannelNumbers(wiring.Component):
    """Numbers of ``channels``, called as ``parts`` is, with one port that writes and ``reads`` that read.

    Those of the first `DEEP` channels lie in a memory for each part. Of the channels beyond all parts lie
    side by side in one that is as wide; but narrow ones stay in theirs.

    Members: ``into``: a channel; ``write``: a bit for each part, stores it of ``data`` there, where the part
    `splits` only if the channel is one of the first; ``write_beyond``: if it is one beyond. ``addr_N``: a
    channel; ``found_N``: its numbers `latency_cycles` later. A number written is read in any later cycle.
    """

    latency_cycles = 2

    def __init__(self, channels: int, parts: dict[str, ShapeLike], reads: int):
        self.channels, self.reads = channels, reads
        self.layout = data.StructLayout(parts)
        super().__init__(
            {
                "into": In(range(channels)),
                "data": In(self.layout),
                "write": In(len(parts)),
                "write_beyond": In(len(parts)),
                **{f"addr_{n}": In(range(channels)) for n in range(reads)},
                **{f"found_{n}": Out(self.layout) for n in range(reads)},
            }
        )

    def splits(self, name: str) -> bool:
        """Whether a part of the channels beyond the first lies elsewhere."""
        return self.channels > DEEP and self.layout[name].width > NARROW_BITS

    def beyond(self, channel):
        """Whether a channel is not one of the first."""
        return channel[(DEEP - 1).bit_length() :].any()

    def elaborate(self, platform):
        m = Module()
        names = [name for name, _ in self.layout]
        splits = [name for name in names if self.splits(name)]
        found: dict[str, list] = {}
        for place, name in enumerate(names):
            depth = DEEP if name in splits else self.channels
            memory = Memory(shape=self.layout[name].shape, depth=depth, init=[])
            m.submodules[name] = memory
            into = memory.write_port()
            m.d.comb += [
                into.addr.eq(self.into),
                into.data.eq(getattr(self.data, name)),
                into.en.eq(self.write[place]),
            ]
            found[name] = self._read(m, memory, name)
        beyond = self._beyond(m, names, splits) if splits else {}
        for n in range(self.reads):
            late = Signal(name=f"beyond_{n}", reset_less=True)
            m.d.sync += late.eq(self.beyond(getattr(self, f"addr_{n}")))
            for name in names:
                value = Value.cast(found[name][n])
                if name in splits:
                    other = beyond[name][n]
                    places = range(0, len(value), CHOSEN_BITS)
                    chosen = copies(m, late, len(places), f"beyond_{n}_{name}")
                    parts = [slice(place, place + CHOSEN_BITS) for place in places]
                    value = Cat(
                        Mux(choice, other[part], value[part])
                        for choice, part in zip(chosen, parts, strict=True)
                    )
                m.d.comb += getattr(getattr(self, f"found_{n}"), name).eq(value)
        return m

    def _read(self, m, memory, name: str) -> list:
        """What every port reads, behind the output register of block RAM."""
        held = []
        for n in range(self.reads):
            port = memory.read_port()
            number = Signal(port.data.shape(), name=f"{name}_{n}", reset_less=True)
            m.d.comb += port.addr.eq(getattr(self, f"addr_{n}"))
            m.d.sync += number.eq(port.data)
            held.append(number)
        return held

    def _beyond(self, m, names, splits) -> dict[str, list]:
        """The same of the channels beyond the first, by part."""
        elements = {name: -(-self.layout[name].width // ELEMENT_BITS) for name in splits}
        shape = data.ArrayLayout(ELEMENT_BITS, sum(elements.values()))
        memory = Memory(shape=shape, depth=self.channels - DEEP, init=[], attrs={"ram_style": "block"})
        m.submodules.beyond = memory
        into = memory.write_port(granularity=1)
        values, enables = [], []
        for name in splits:
            number = getattr(self.data, name)
            values.append(number.as_unsigned())
            spare = ELEMENT_BITS * elements[name] - len(number)
            values.append(Signal(spare, name=f"spare_{name}"))
            enables.append(self.write_beyond[names.index(name)].replicate(elements[name]))
        m.d.comb += [into.addr.eq(self.into), into.data.eq(Cat(values)), into.en.eq(Cat(enables))]
        held = self._read(m, memory, "beyond")
        found, at = {}, 0
        for name in splits:
            width = self.layout[name].width
            found[name] = [numbers.as_value()[at : at + width] for numbers in held]
            at += ELEMENT_BITS * elements[name]
        return found

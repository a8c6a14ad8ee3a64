"""Noise of stochastic rounding, for the lanes' words in the order in which they walk."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.step import KEYS
from cpt.hw.matrix.copies import copies
from cpt.hw.vector.hash import GOLDEN, HASH_BITS, Hash
from cpt.hw.vector.lane import NOISE_BITS
from cpt.hw.vector.noise_steps import NOISE_SHAPE, PIXELS, NoiseSteps

HALF = 1 << NOISE_BITS - 1
"""What rounds to nearest in the place of noise."""


class Walk(enum.Enum, shape=2):
    """Where the next word lies."""

    CHANNEL = 0
    """Same tile, next channel."""
    RIGHT = 1
    """First channel of the next tile to the right."""
    DOWN = 2
    """... of the first tile below."""
    IMAGE = 3
    """... of the next image."""


class Noise(wiring.Component):
    """A byte for every lane: of one hash for four neighbours, whose number grows by `NoiseSteps`.

    Members: ``start``: an instruction of ``shape`` begins, with ``keys``, which stay; ``ready``: from
    `start_cycles` later at most; ``step``: a word is asked for, and ``walk``: where the next one lies;
    ``noise``: of the word, `latency_cycles` after its step. ``stochastic``, beside ``step``: else `HALF`.
    """

    latency_cycles = 1 + Hash.latency_cycles
    start_cycles = NoiseSteps.start_cycles + 2

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "shape": In(NOISE_SHAPE),
                "keys": In(data.ArrayLayout(HASH_BITS, KEYS)),
                "ready": Out(1),
                "step": In(1),
                "walk": In(Walk),
                "stochastic": In(1),
                "noise": Out(data.ArrayLayout(NOISE_BITS, config.cols)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.steps = steps = NoiseSteps(self.config)
        hashes = [Hash() for _ in range(self.config.cols // PIXELS)]
        for n, unit in enumerate(hashes):
            m.submodules[f"hash_{n}"] = unit
        started = Signal()
        key, keyed = self._key(m, hashes[0])
        m.d.sync += [started.eq(self.start), self.ready.eq(steps.made & keyed & ~self.start & ~started)]
        m.d.comb += [steps.start.eq(self.start), steps.shape.eq(self.shape)]
        word = self._walked(m, steps, key, keyed)

        stochastic = self.stochastic
        for n in range(self.latency_cycles - 1):
            late = Signal(name=f"stochastic_{n}", reset_less=True)
            m.d.sync += late.eq(stochastic)
            stochastic = late
        choices = copies(m, stochastic, len(hashes), "stochastic_last")
        for n, unit in enumerate(hashes):
            value = Signal(HASH_BITS, name=f"value_{n}", reset_less=True)
            m.d.sync += value.eq(word + steps.quads[n])
            if n == 0:
                m.d.comb += unit.value.eq(Mux(keyed, value, key))
            else:
                m.d.comb += unit.value.eq(value)
            for byte in range(PIXELS):
                taken = unit.hash.word_select(byte, NOISE_BITS)
                m.d.comb += self.noise[n * PIXELS + byte].eq(Mux(choices[n], taken, HALF))
        return m

    def _key(self, m, unit):
        """Of the layer and the micro-batch: hashed twice, by the first unit while nobody walks."""
        key, keyed, second = Signal(HASH_BITS), Signal(), Signal()
        wait = Signal(range(unit.latency_cycles + 1))
        parts = Signal(HASH_BITS)
        m.d.sync += parts.eq(self.keys[1] + GOLDEN)
        with m.If(self.start):
            m.d.sync += [key.eq(self.keys[0] + self.shape.layer + GOLDEN), keyed.eq(0), second.eq(0)]
            m.d.sync += wait.eq(unit.latency_cycles)
        with m.Elif(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.Elif(~keyed):
            m.d.sync += [key.eq(unit.hash + Mux(second, 0, parts)), keyed.eq(second), second.eq(1)]
            m.d.sync += wait.eq(Mux(second, 0, unit.latency_cycles))
        return key, keyed

    def _walked(self, m, steps, key, keyed):
        """The hash input of lane 0, a register; those of its row of tiles, its tile and its image stay."""
        image, row, tile, word = (Signal(HASH_BITS, name=name) for name in ("image", "row", "tile", "word"))
        fresh, known = Signal(), Signal()
        m.d.comb += known.eq(keyed & steps.made)
        m.d.sync += fresh.eq(~known)
        choices = {
            Walk.CHANNEL: (word, steps.channel, [word]),
            Walk.RIGHT: (tile, steps.right, [word, tile]),
            Walk.DOWN: (row, steps.down, [word, tile, row]),
            Walk.IMAGE: (image, steps.image, [word, tile, row, image]),
        }
        with m.If(fresh & known):
            m.d.sync += [place.eq(key + steps.origin) for place in (image, row, tile, word)]
        with m.Elif(self.step), m.Switch(self.walk):
            for walk, (source, step, targets) in choices.items():
                with m.Case(walk):
                    m.d.sync += [target.eq(source + step) for target in targets]
        return word

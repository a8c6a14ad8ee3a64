"""Noise of stochastic rounding, for the lanes' words in the order in which they walk."""

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.step import KEYS
from cpt.hw.matrix.copies import copies
from cpt.hw.vector.hash import GOLDEN, HASH_BITS, Hash
from cpt.hw.vector.lane import NOISE_BITS
from cpt.hw.vector.noise_steps import NOISE_SHAPE, PIXELS, NoiseSteps

_KNOWN_CYCLES = 6
"""From all that an instruction begins with to its first word's place, and those behind it."""
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

    latency_cycles = 3 + Hash.latency_cycles
    start_cycles = NoiseSteps.start_cycles + _KNOWN_CYCLES + 1

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
        known = Signal(_KNOWN_CYCLES)
        m.d.sync += [
            started.eq(self.start),
            known.eq(Cat(steps.made & keyed, known) & (steps.made & keyed).replicate(len(known))),
            self.ready.eq(known[-1] & ~self.start & ~started),
        ]
        m.d.comb += [steps.start.eq(self.start), steps.shape.eq(self.shape)]
        word = self._walked(m, steps, key, known)

        stochastic = self.stochastic
        for n in range(self.latency_cycles - 1):
            late = Signal(name=f"stochastic_{n}", reset_less=True)
            m.d.sync += late.eq(stochastic)
            stochastic = late
        choices = copies(m, stochastic, len(hashes), "stochastic_last")
        for n, unit in enumerate(hashes):
            value = Signal(HASH_BITS, name=f"value_{n}", reset_less=True)
            if n == 0:  # lane 0 is its own quad's first; nobody walks while the key is made
                halves = copies(m, keyed, 2, "walks")
                half = HASH_BITS // 2
                m.d.sync += value.eq(
                    Cat(
                        Mux(walks, *(each[part * half :][:half] for each in (word, key)))
                        for part, walks in enumerate(halves)
                    )
                )
            else:
                m.d.sync += value.eq(word + steps.quads[n])
            m.d.comb += unit.value.eq(value)
            for byte in range(PIXELS):
                taken = unit.hash.word_select(byte, NOISE_BITS)
                m.d.comb += self.noise[n * PIXELS + byte].eq(Mux(choices[n], taken, HALF))
        return m

    def _key(self, m, unit):
        """Of the layer and the micro-batch: hashed twice, by the first unit while nobody walks."""
        key = Signal(HASH_BITS, reset_less=True)
        keyed = Signal()
        second = Signal()
        first, seed, more = (
            Signal(HASH_BITS, name=name, reset_less=True) for name in ("first", "seed", "more")
        )
        # The seed is there two cycles after the shape; a hash one register and the unit after the key.
        begins = Signal(2)
        way = Signal(unit.latency_cycles + 1)
        half = HASH_BITS // 2
        loads = copies(m, begins[-1], 3, "loads", reset_less=False)
        comes = copies(m, way[-1], 3, "comes", reset_less=False)
        seconds = copies(m, second, 2, "second")
        m.d.sync += [
            first.eq(self.keys[0] + GOLDEN),
            seed.eq(first + self.shape.layer),
            more.eq(self.keys[1] + GOLDEN),
            begins.eq(Cat(self.start, begins)),
            way.eq(Cat(loads[0] | (comes[0] & ~second), way)),
            second.eq((second | comes[0]) & ~self.start),
            keyed.eq((keyed | (comes[0] & second)) & ~self.start),
        ]
        added = Signal(HASH_BITS)
        hashed = Signal(HASH_BITS)
        m.d.sync += added.eq(
            Cat(more[:half] & ~seconds[0].replicate(half), more[half:] & ~seconds[1].replicate(half))
        )
        m.d.comb += hashed.eq(unit.hash + added)
        for n in range(2):
            part = slice(n * half, (n + 1) * half)
            with m.If(loads[1 + n] | comes[1 + n]):
                m.d.sync += key[part].eq(Mux(loads[1 + n], seed[part], hashed[part]))
        return key, keyed

    def _walked(self, m, steps, key, known):
        """The hash input of lane 0, a register; those of its row of tiles, its tile and its image stay.

        Only the next channel's is added when it is asked for: the others' stand there, since a tile has some
        channels.
        """
        half = HASH_BITS // 2
        image, row, tile, word, leap, origin = (
            Signal(HASH_BITS, name=name, reset_less=True)
            for name in ("image", "row", "tile", "word", "leap", "origin")
        )
        following = []
        """By `Walk`; in the channel's place what an instruction begins with."""
        beside = {"tile": (tile, steps.right), "row": (row, steps.down), "image": (image, steps.image)}
        for name, (place, step) in beside.items():
            after = Signal(HASH_BITS, name=f"next_{name}", reset_less=True)
            m.d.sync += after.eq(place + step)
            following.append(after)
        following.insert(Walk.CHANNEL.value, origin)
        m.d.sync += origin.eq(key + steps.origin)

        # What is asked for is chosen in the next cycle, and done in the one behind that.
        begins = Signal()
        stepped = Signal()
        choices = copies(
            m, Mux(known[-2] & ~known[-1], Walk.CHANNEL.value, self.walk.as_value()), 3, "choice"
        )
        m.d.sync += [begins.eq(known[-2] & ~known[-1]), stepped.eq(self.step)]
        choice = choices[0]

        def when(condition, count, name):
            return copies(m, begins | (stepped & condition), count, name, reset_less=False)

        along = copies(m, stepped & (choice == Walk.CHANNEL.value), 2, "along", reset_less=False)
        leaps = when(choice != Walk.CHANNEL.value, 2, "leaps")
        targets = {
            "tile": (tile, when(choice != Walk.CHANNEL.value, 1, "leaps_tile")),
            "row": (row, when((choice == Walk.DOWN.value) | (choice == Walk.IMAGE.value), 1, "leaps_row")),
            "image": (image, when(choice == Walk.IMAGE.value, 1, "leaps_image")),
        }
        added = Signal(HASH_BITS)
        m.d.comb += added.eq(word + steps.channel)
        for n in range(2):
            part = slice(n * half, (n + 1) * half)
            m.d.sync += leap[part].eq(Array(each[part] for each in following)[choices[1 + n]])
            with m.If(along[n] | leaps[n]):
                m.d.sync += word[part].eq(Mux(leaps[n], leap[part], added[part]))
        for place, (leaps_place,) in targets.values():
            with m.If(leaps_place):
                m.d.sync += place.eq(leap)
        return word

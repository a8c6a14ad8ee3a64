"""Shape of one accelerator: a frozen, validated record and its named presets."""

import dataclasses
from dataclasses import dataclass
from typing import Any

MAX_BITS = 16
"""Widest operand code, in bits."""
BEAT_BYTES = 8
"""Bytes in one AXI data beat (64-bit ports)."""
BURST_BEATS = 16
"""Longest burst the Zynq HP ports (AXI3) accept; bursts also end at multiples of its size."""
SLOTS = 256
"""Number of precision slots."""
ACC_BITS = 48
"""Accumulator width, in bits."""
TAPS = 9
"""Equal parts of a word that column sums take or leave one by one: the positions of a 3 x 3 kernel."""
LEAST_GROUP = 4
"""Channels of a group, at least, of a machine that does whole steps."""
GROUPS_BITS = 7
"""Width of a count of groups of channels of a layer."""
MOST_GROUPS = (1 << GROUPS_BITS) - 1
LEAST_CHANNELS, MOST_CHANNELS = 1024, 1280
"""Channels that have coefficients and statistics, at least and at most: MobileNetV2's head has 1,280."""
CHANNEL_BITS = 11
"""Width of a channel's place."""
MATRIX, STEP = MACHINES = ("matrix", "step")
"""What a machine does: matrix products, and the processor the rest of a training step (docs/machine.md), or
whole steps (docs/fabric.md)."""
ALL_TAPS = (1 << TAPS) - 1
"""The tap mask of sums over all of K."""
SHAPE_FIELDS = {
    "SHAPE": {"rows": 8, "cols": 8, "word_bits": 16},
    "DEPTH": {"a_depth_words": 16, "b_depth_words": 16},
    "SCRATCH": {"scratch_words": 24},
}
"""Registers that tell an accelerator's shape: the `ArrayConfig` fields in each and the bits they have."""


class ContractError(ValueError):
    """A value outside what the contract allows; the message is one line naming all three."""


def require(condition: bool, message: str) -> None:
    """Raise `ContractError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise ContractError(message)


FLOAT_LANES = (2, 4)


@dataclass(frozen=True)
class ArrayConfig:
    """Shape of the bit-serial array and its buffers.

    Every cycle the array ANDs ``rows`` words of operand A with ``cols`` words of operand B,
    ``word_bits`` bits each, and adds the ``rows * cols`` popcounts to their accumulators.

    Raises `ContractError` if the shape breaks a rule named in the message.
    """

    name: str
    rows: int
    """Array rows; one row tile of operand A."""
    word_bits: int
    """Bits of K consumed per step by each dot-product unit."""
    cols: int
    """Array columns; one column tile of operand B."""
    a_depth_words: int
    """Words per row in the A buffer, both halves together."""
    b_depth_words: int
    """Words per column in the B buffer, both halves together."""
    clock_mhz: float = 200.0
    """Fabric clock that simulated times are stated at."""
    scratch_words: int = 0
    """Words of scratch, all banks together, of a machine that does whole training steps (docs/fabric.md); 0
    is the machine that multiplies matrices (docs/machine.md)."""
    float_lanes: int = 2
    """Elements that the float engine of the step machine takes at once."""

    def __post_init__(self) -> None:
        for register, widths in SHAPE_FIELDS.items():
            for field, width in widths.items():
                value = getattr(self, field)
                most = (1 << width) - 1
                optional = field == "scratch_words"
                require(
                    isinstance(value, int) and value >= (not optional),
                    f"{field} is {value!r}; allowed: a positive integer{' or 0' * optional}",
                )
                require(
                    value <= most,
                    f"{field} is {value}; allowed: at most {most}, {width} bits of register {register}",
                )
        require(self.word_bits % TAPS == 0, f"word_bits is {self.word_bits}; allowed: multiples of {TAPS}")
        require(self.cols % BEAT_BYTES == 0, f"cols is {self.cols}; allowed: multiples of {BEAT_BYTES}")
        for field in ("a_depth_words", "b_depth_words"):
            depth = getattr(self, field)
            require(
                depth >= 2 * MAX_BITS and depth & (depth - 1) == 0 and depth <= 1024,
                f"{field} is {depth}; allowed: powers of two from {2 * MAX_BITS} to 1024",
            )
        require(
            self.scratch_words & (self.scratch_words - 1) == 0,
            f"scratch_words is {self.scratch_words}; allowed: 0 and powers of two",
        )
        group = self.group_channels
        require(
            not self.scratch_words or (group >= LEAST_GROUP and group & (group - 1) == 0),
            f"word_bits is {self.word_bits}; allowed with scratch: {TAPS} times a power of two, "
            f"at least {TAPS * LEAST_GROUP}",
        )
        lanes = self.float_lanes
        require(
            lanes in FLOAT_LANES, f"float_lanes is {lanes!r}; allowed: {', '.join(map(str, FLOAT_LANES))}"
        )
        require(self.clock_mhz > 0, f"clock_mhz is {self.clock_mhz}; allowed: above 0")

    @property
    def binary_macs(self) -> int:
        """Binary multiply-accumulates per cycle."""
        return self.rows * self.word_bits * self.cols

    @property
    def group_channels(self) -> int:
        """Channels that lie side by side: a word is nine taps of so many."""
        return self.word_bits // TAPS

    @property
    def channels(self) -> int:
        """Channels that have coefficients and statistics: those of the widest layer, or more."""
        return min(MOST_CHANNELS, max(LEAST_CHANNELS, MOST_GROUPS * self.group_channels))

    def lanes(self, operand: str) -> int:
        """Rows (``operand="a"``) or columns (``"b"``) of the array."""
        return {"a": self.rows, "b": self.cols}[operand]

    def half_words(self, operand: str) -> int:
        """Words per lane in one half of the double-buffered operand memory."""
        return {"a": self.a_depth_words, "b": self.b_depth_words}[operand] // 2

    def group_bytes(self, operand: str) -> int:
        """Bytes of one K step of one bit plane of one tile: a word for each lane, in whole beats."""
        return -(-self.lanes(operand) * self.word_bits // (8 * BEAT_BYTES)) * BEAT_BYTES

    def tap_word(self, taps: int) -> int:
        """The word with each bit of ``taps`` spread over a ninth: bit ``t`` over ``[t*g, (t+1)*g)``."""
        part = self.group_channels
        return sum(((1 << part) - 1) << tap * part for tap in range(TAPS) if taps >> tap & 1)

    def as_dict(self) -> dict[str, int | float | str]:
        """All fields by name, for artefacts; without scratch where there is none."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value}


PRESETS: dict[str, ArrayConfig] = {
    config.name: config
    for config in (
        ArrayConfig(
            "zc706",
            rows=16,
            word_bits=144,
            cols=32,
            a_depth_words=1024,
            b_depth_words=1024,
            float_lanes=4,
        ),
        ArrayConfig(
            "z7020",
            rows=8,
            word_bits=72,
            cols=16,
            a_depth_words=1024,
            b_depth_words=1024,
            clock_mhz=100.0,
        ),
        ArrayConfig("middle", rows=8, word_bits=72, cols=16, a_depth_words=256, b_depth_words=256),
        ArrayConfig("tiny", rows=4, word_bits=36, cols=8, a_depth_words=256, b_depth_words=256),
    )
}
OF_STEPS: dict[str, dict[str, Any]] = {
    "zc706": {"scratch_words": 16384, "a_depth_words": 512},
    "z7020": {"rows": 4, "word_bits": 36, "cols": 8, "a_depth_words": 512, "scratch_words": 8192},
    "middle": {"scratch_words": 8192},
    "tiny": {"scratch_words": 8192, "b_depth_words": 512},
}
"""What each preset has otherwise if it does whole training steps."""


def preset(name: str, machine: str = MATRIX) -> ArrayConfig:
    """The preset called ``name`` as one of `MACHINES`; raises `ContractError` naming the known ones."""
    require(name in PRESETS, f"preset is {name!r}; allowed: {', '.join(PRESETS)}")
    require(machine in MACHINES, f"machine is {machine!r}; allowed: {', '.join(MACHINES)}")
    if machine == STEP:
        return dataclasses.replace(PRESETS[name], **OF_STEPS[name])
    return PRESETS[name]

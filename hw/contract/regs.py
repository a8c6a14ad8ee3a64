"""The AXI4-Lite register map as data: registers, sticky errors, performance counters, precision slots."""

import enum
from dataclasses import dataclass

from cpt.hw.contract.config import ACC_BITS, BEAT_BYTES, MAX_BITS, SHAPE_FIELDS, SLOTS, require

MAGIC = 0x43505431
"""``"CPT1"``, the first thing a driver reads."""
ADDRESS_BITS = 12
"""Bytes of register space, as a power of two."""
SLOT_BASE = 0x400
RING_LOG2_MAX = 16
RING_ALIGNMENT = 4096
"""Bytes that the ring's base is a multiple of."""


class Error(enum.IntEnum):
    """Bit position of each sticky error."""

    ILLEGAL_OPCODE = 0
    BAD_SLOT = 1
    OPERAND_OVERFLOW = 2
    RESULT_WIDTH = 3
    AXI_READ = 4
    AXI_WRITE = 5
    WATCHDOG = 6
    BUSY_WRITE = 7
    RESERVED_BITS = 8
    MISALIGNED = 9
    ILLEGAL_EXEC = 10
    READ_WINDOW = 11
    WRITE_WINDOW = 12
    BAD_RING = 13


ERROR_DOCS = {
    Error.ILLEGAL_OPCODE: "an instruction word has no known opcode, or a count field below its minimum",
    Error.BAD_SLOT: f"an instruction names a precision slot whose bits are not 1..{MAX_BITS}",
    Error.OPERAND_OVERFLOW: "a block does not fit in half of its operand buffer",
    Error.RESULT_WIDTH: f"bits_a + bits_b + k_log2 exceeds {ACC_BITS}",
    Error.AXI_READ: "a read returned an error response; for an instruction, when its turn came",
    Error.AXI_WRITE: "a write returned an error response",
    Error.WATCHDOG: "no progress for WATCHDOG cycles while busy",
    Error.BUSY_WRITE: "a locked register was written while busy; the write was ignored",
    Error.RESERVED_BITS: "bits of an instruction word that no field names are not zero",
    Error.MISALIGNED: f"the base or a stride of an instruction is not a multiple of {BEAT_BYTES}",
    Error.ILLEGAL_EXEC: "an EXEC that is not ``first`` and ``last`` has more than one tile or block, adds to "
    "a result tile when none is open, or starts one while another is open",
    Error.READ_WINDOW: "a LOAD would read outside READ_BASE..READ_LIMIT",
    Error.WRITE_WINDOW: "a DRAIN would write outside WRITE_BASE..WRITE_LIMIT",
    Error.BAD_RING: f"RING_BASE is not a multiple of {RING_ALIGNMENT}, RING_LOG2 is above {RING_LOG2_MAX}, "
    "or the ring lies outside READ_BASE..READ_LIMIT",
}


class Counter(enum.IntEnum):
    """Index of each 64-bit performance counter."""

    TOTAL = 0
    EXEC_BUSY = 1
    EXEC_WAIT_FETCH = 2
    EXEC_WAIT_DRAIN = 3
    BYTES_READ = 4
    BYTES_WRITTEN = 5
    READ_STALL = 6
    WRITE_STALL = 7


COUNTER_DOCS = {
    Counter.TOTAL: "cycles from the doorbell until the ring is empty and every result is in memory",
    Counter.EXEC_BUSY: "cycles the array took a step: bits_a * bits_b * ksteps and the bubbles, over tiles",
    Counter.EXEC_WAIT_FETCH: "cycles EXEC waited for an operand block",
    Counter.EXEC_WAIT_DRAIN: "cycles EXEC waited for the result path",
    Counter.BYTES_READ: "bytes received on all read ports, instructions included",
    Counter.BYTES_WRITTEN: "bytes sent on all write ports",
    Counter.READ_STALL: "cycles a read address waited for the memory, summed over the ports",
    Counter.WRITE_STALL: "cycles a write address or write data waited for the memory, summed over the ports",
}


@dataclass(frozen=True)
class RegisterField:
    """One bit field of a register."""

    name: str
    offset: int
    width: int
    doc: str


@dataclass(frozen=True)
class Register:
    """One 32-bit register.

    ``access``: ``ro`` read only, ``rw`` read and write, ``w1c`` write one to clear, ``w1s`` write one
    to trigger (reads as zero). Fields cover what is implemented; other bits read as zero.
    """

    name: str
    offset: int
    access: str
    doc: str
    fields: tuple[RegisterField, ...] = ()
    reset: int = 0
    locked: bool = False
    """Written while the machine is busy, it keeps its value and ``busy_write`` is set."""
    kept: bool = False
    """A soft reset leaves its value as it is."""

    @property
    def mask(self) -> int:
        """Implemented bits."""
        if not self.fields:
            return 0xFFFF_FFFF
        return sum(((1 << item.width) - 1) << item.offset for item in self.fields)

    def field(self, name: str) -> RegisterField:
        """The field called ``name``."""
        for item in self.fields:
            if item.name == name:
                return item
        raise KeyError(f"{self.name} has no field {name}")

    def pack(self, **values: int) -> int:
        """The word whose fields hold ``values``; fields not named are zero."""
        return sum(int(value) << self.field(name).offset for name, value in values.items())

    def unpack(self, word: int) -> dict[str, int]:
        """What every field of ``word`` holds, by name."""
        return {item.name: word >> item.offset & ((1 << item.width) - 1) for item in self.fields}


def _flags(names: dict[str, str]) -> tuple[RegisterField, ...]:
    return tuple(RegisterField(name, bit, 1, doc) for bit, (name, doc) in enumerate(names.items()))


def _numbers(register_name: str, **docs: str) -> tuple[RegisterField, ...]:
    """The fields of `SHAPE_FIELDS`, one behind the other."""
    fields, offset = [], 0
    for name, width in SHAPE_FIELDS[register_name].items():
        fields.append(RegisterField(name, offset, width, docs[name]))
        offset += width
    return tuple(fields)


_ERROR_FIELDS = tuple(
    RegisterField(error.name.lower(), int(error), 1, f"{doc[0].upper()}{doc[1:]}.")
    for error, doc in ERROR_DOCS.items()
)
_IRQ_FIELDS = _flags({"done": "An END instruction completed.", "error": "A sticky error was set."})


def _window(name: str, offset: int, doc: str) -> tuple[Register, Register]:
    """One window of memory, from BASE up to LIMIT; nothing at all after power-up."""
    return (
        Register(f"{name}_BASE", offset, "rw", f"First byte that may be {doc}.", locked=True, kept=True),
        Register(
            f"{name}_LIMIT",
            offset + 4,
            "rw",
            f"First byte behind what may be {doc}; 0: nothing.",
            locked=True,
            kept=True,
        ),
    )


_SINGLE = (
    Register("MAGIC", 0x000, "ro", "Identifies the accelerator.", reset=MAGIC, kept=True),
    Register("CONTRACT_LO", 0x004, "ro", "Low half of the contract hash.", kept=True),
    Register("CONTRACT_HI", 0x008, "ro", "High half of the contract hash.", kept=True),
    Register("BUILD_ID", 0x00C, "ro", "Number given when the hardware was generated.", kept=True),
    Register(
        "SHAPE",
        0x010,
        "ro",
        "Array shape.",
        _numbers("SHAPE", rows="Array rows.", cols="Array columns.", word_bits="Bits of K per step."),
        kept=True,
    ),
    Register(
        "DEPTH",
        0x014,
        "ro",
        "Operand buffer depths, both halves together.",
        _numbers("DEPTH", a_depth_words="Words per array row.", b_depth_words="Words per array column."),
        kept=True,
    ),
    Register(
        "SCRATCH",
        0x018,
        "ro",
        "Scratch of a machine that does whole training steps.",
        _numbers("SCRATCH", scratch_words="Words, all banks together; 0: it multiplies matrices."),
        kept=True,
    ),
    Register(
        "CONTROL",
        0x020,
        "w1s",
        "Commands.",
        _flags(
            {
                "soft_reset": "Stop, let outstanding transfers finish, forget all but kept registers.",
                "clear_counters": "Set all performance counters to zero.",
            }
        ),
    ),
    Register(
        "STATUS",
        0x024,
        "ro",
        "State of the machine.",
        _flags(
            {
                "busy": "Instructions are pending, running or writing results.",
                "halted": "A sticky error stopped the machine; soft_reset starts it again.",
            }
        ),
    ),
    Register(
        "ERROR", 0x028, "w1c", "Sticky errors; any but ``busy_write`` halts the machine.", _ERROR_FIELDS
    ),
    Register(
        "ERROR_INDEX", 0x02C, "ro", "Ring index of the last instruction dispatched, or of the one refused."
    ),
    Register("IRQ_ENABLE", 0x030, "rw", "Which events drive the interrupt line.", _IRQ_FIELDS),
    Register("IRQ_STATUS", 0x034, "w1c", "Which events have happened.", _IRQ_FIELDS),
    Register(
        "RING_BASE",
        0x040,
        "rw",
        "Byte address of the command ring; a multiple of 4096.",
        locked=True,
        kept=True,
    ),
    Register(
        "RING_LOG2",
        0x044,
        "rw",
        "log2 of the ring's number of instructions.",
        (RegisterField("value", 0, 5, f"0..{RING_LOG2_MAX}."),),
        locked=True,
        kept=True,
    ),
    Register(
        "RING_HEAD",
        0x048,
        "ro",
        "Instructions dispatched or refused since reset, modulo 2**32; their places in the ring are free.",
    ),
    Register(
        "RING_TAIL",
        0x04C,
        "rw",
        "Doorbell: instructions placed in the ring since reset, modulo 2**32. The machine runs until head "
        "equals tail.",
    ),
    Register("DONE_TAG", 0x050, "ro", "Tag of the last END completed."),
    Register(
        "WATCHDOG", 0x054, "rw", "Cycles without progress that raise the watchdog error; 0 turns it off."
    ),
    *_window("READ", 0x060, "read: the ring and what LOAD reads"),
    *_window("WRITE", 0x068, "written: what DRAIN writes"),
)

_COUNTERS = tuple(
    Register(
        f"{counter.name}_{half}",
        0x080 + 8 * counter + 4 * index,
        "ro",
        f"{'Low' if half == 'LO' else 'High'} half of: {COUNTER_DOCS[counter]}.",
    )
    for counter in Counter
    for index, half in enumerate(("LO", "HI"))
)

SLOT_FIELDS = (
    RegisterField("bits", 0, 5, f"Bits per code, 1..{MAX_BITS}; 0 marks an unset slot."),
    RegisterField("signed", 8, 1, "Codes are two's complement."),
)

_SLOTS = tuple(
    Register(
        f"SLOT_{index}",
        SLOT_BASE + 4 * index,
        "rw",
        f"Precision slot {index}.",
        SLOT_FIELDS,
        locked=True,
        kept=True,
    )
    for index in range(SLOTS)
)

REGISTERS: tuple[Register, ...] = _SINGLE + _COUNTERS + _SLOTS
_BY_NAME = {item.name: item for item in REGISTERS}


def register(name: str) -> Register:
    """The register called ``name``; raises `ContractError` if there is none."""
    require(name in _BY_NAME, f"register is {name!r}; allowed: a name from the register map")
    return _BY_NAME[name]


def slot_offset(index: int) -> int:
    """Byte offset of precision slot ``index``."""
    require(0 <= index < SLOTS, f"slot is {index}; allowed: 0..{SLOTS - 1}")
    return SLOT_BASE + 4 * index

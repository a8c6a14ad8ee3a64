"""Registered copies of a signal, so that no net has too many loads.

Synthesis would merge equal registers again; the attribute on the copies says that they are meant.
"""

from amaranth import Signal

MOST_LOADS = 32
"""Loads of one copy, at most."""
KEEP = {"keep": "true"}


def copies(m, source, count: int, name: str) -> list:
    """``count`` registers that follow ``source``, in one cycle; of its shape, without reset."""
    found = []
    for number in range(count):
        copy = Signal(source.shape(), name=f"{name}_{number}", reset_less=True, attrs=KEEP)
        m.d.sync += copy.eq(source)
        found.append(copy)
    return found


def spread(m, source, count: int, name: str) -> list:
    """``count`` copies in two cycles, so that ``source`` has few loads too."""
    first = copies(m, source, -(-count // MOST_LOADS), f"{name}_root")
    found = []
    for number, root in enumerate(first):
        wanted = min(MOST_LOADS, count - number * MOST_LOADS)
        found += copies(m, root, wanted, f"{name}_{number}")
    return found

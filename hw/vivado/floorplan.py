"""Where the array's units lie: four columns of the array to each half of a column of DSPs.

``python -m cpt.hw.vivado.floorplan`` writes the constraint files beside this one anew. The accumulators fix
the floorplan: a column of units without a place of its own spreads over the part, its operands with it.
"""

import re
from pathlib import Path

from cpt.hw.contract.board import BOARDS, Board
from cpt.hw.contract.config import require

COLUMNS = 4
"""Array columns to a block; they share a copy of each row's word."""
SITES: dict[str, tuple[str, ...]] = {
    # Four full columns of 140 DSPs in halves; the processor's corner shortens the columns to their left.
    "zc706": tuple(
        f"DSP48_X{column}Y{first}:DSP48_X{column}Y{first + 69}"
        for column in (2, 3, 4, 5)
        for first in (0, 70)
    ),
    # A third of two of the three full columns of 60 DSPs.
    "pynq-z2": ("DSP48_X2Y0:DSP48_X2Y19", "DSP48_X3Y0:DSP48_X3Y19"),
}
"""A range of DSP sites for each block, by board. Not checked against Vivado's list of sites."""
_RANGE = re.compile(r"DSP48_X(\d+)Y(\d+):DSP48_X(\d+)Y(\d+)")


def sites(area: str) -> int:
    """DSPs in a range."""
    found = _RANGE.fullmatch(area)
    assert found is not None, area
    x0, y0, x1, y1 = (int(number) for number in found.groups())
    return (x1 - x0 + 1) * (y1 - y0 + 1)


def floorplan(board: Board) -> str:
    """The constraint file of a board's array; `ContractError` if a block has too few DSPs."""
    config = board.config
    areas = SITES[board.name]
    units = (config.rows + 1) * COLUMNS
    require(config.cols == COLUMNS * len(areas), f"cols is {config.cols}; allowed: {COLUMNS * len(areas)}")
    lines = [
        '# Written by `python -m cpt.hw.vivado.floorplan`; reasons: docs/board.md, "Timing by rule".',
        f"# {board.name}, preset {config.name}: {COLUMNS} array columns of {config.rows} units and sums",
        f"# to a block, {units} DSPs each. Not run on hardware, site names not checked against Vivado.",
    ]
    for number, area in enumerate(areas):
        require(sites(area) >= units, f"{area} has {sites(area)} DSPs; allowed: at least {units}")
        lines.append(f"create_pblock units_{number}")
        lines.append(f"resize_pblock [get_pblocks units_{number}] -add {{{area}}}")
        for column in range(COLUMNS * number, COLUMNS * (number + 1)):
            names = f"NAME =~ */array/unit_*_{column}/* || NAME =~ */array/col_sum_{column}/*"
            cells = f"get_cells -quiet -hierarchical -filter {{REF_NAME == DSP48E1 && ({names})}}"
            lines.append(f"add_cells_to_pblock -quiet [get_pblocks units_{number}] [{cells}]")
    return "\n".join(lines) + "\n"


def path(board: Board) -> Path:
    """The checked-in constraint file of a board."""
    return Path(__file__).with_name(f"{board.name}.xdc")


if __name__ == "__main__":
    for target in BOARDS.values():
        path(target).write_text(floorplan(target), encoding="utf-8")
        print(path(target).name)

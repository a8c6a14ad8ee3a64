"""How a dW product is divided: by what its operands' buffers and its sums in scratch hold at once."""

from __future__ import annotations

from cpt.host.compiler.plan import ConvPlan, Subset
from cpt.hw.contract import ArrayConfig, ContractError
from cpt.hw.contract.passes import gradient_tiles
from cpt.hw.contract.tiles import COPIES

MOST_OUTPUTS = 63
"""Groups of errors that a LOAD_E brings at most."""


class Subsets:
    """Subsets of dW products whose codes have at most ``widest`` bits, and what each takes."""

    def __init__(self, config: ArrayConfig, widest: int) -> None:
        self._config, self._widest = config, widest

    def of(self, plan: ConvPlan, most_words: int) -> list[Subset]:
        """Groups of a dW product at a time: as many as the buffers and ``most_words`` of sums hold."""
        conv, config = plan.conv, self._config
        groups, outputs = self._groups(conv.in_channels), self._groups(conv.out_channels)
        fewest = self._fewest_rows(plan)
        inputs, held = (1, 1) if plan.layer.depthwise else (groups, min(outputs, MOST_OUTPUTS))
        while inputs > 2 and self._input_words(plan, fewest, inputs) > config.b_depth_words:
            inputs -= 2 if inputs % 2 == 0 else 1
        while held > 1 and fewest * self._widest * held > config.half_words("a"):
            held -= 1

        def tiles() -> int:
            return len(gradient_tiles(conv.kernel**2, inputs)) * held * config.group_channels

        while held > 1 and tiles() > most_words:
            held -= 1
        while inputs > 2 and tiles() > most_words:
            inputs -= 2 if inputs % 2 == 0 else 1
        needed = {
            "a": (fewest * self._widest * held, config.half_words("a")),
            "b": (self._input_words(plan, fewest, inputs), config.b_depth_words),
        }
        for buffer, (words, room) in needed.items():
            if words > room:
                raise ContractError(
                    f"dW of {conv.name} takes {words} words of the {buffer.upper()} buffer at {self._widest} "
                    f"bits; allowed: {room}"
                )
        if plan.layer.depthwise:
            return [Subset(number, 1, number, 1) for number in range(groups)]
        return [
            Subset(output, min(held, outputs - output), first, min(inputs, groups - first))
            for output in range(0, outputs, held)
            for first in range(0, groups, inputs)
        ]

    def sum_words(self, plan: ConvPlan, subset: Subset) -> int:
        """Sums of a dW product, of `SUM_WORDS` words of scratch each."""
        tiles = len(gradient_tiles(plan.conv.kernel**2, subset.inputs))
        return tiles * subset.outputs * self._config.group_channels

    def _fewest_rows(self, plan: ConvPlan) -> int:
        """Rows of the output that a chunk of dW has at least: whole tiles.

        All of them where a tile of the input has several.
        """
        if plan.source.tile_rows > 1:
            return plan.conv.out_height
        return min(plan.output.tile_rows, plan.conv.out_height)

    def _input_words(self, plan: ConvPlan, rows: int, groups: int) -> int:
        """Words of the B buffer that a chunk of dW takes."""
        source_rows = plan.conv.stride * (rows - 1) + COPIES
        return source_rows * self._widest * COPIES * -(-groups // 2)

    def chunk_rows(self, plan: ConvPlan, subset: Subset) -> int:
        """Rows of a chunk: what half of the buffers holds, so that the next one can come; at least one.

        Chunks are about equal.
        """
        fewest = rows = self._fewest_rows(plan)
        a, b = (self._config.half_words(operand) for operand in "ab")
        while rows < plan.conv.out_height:
            more = rows + fewest
            if self._widest * subset.outputs * more > a or self._input_words(plan, more, subset.inputs) > b:
                break
            rows = more
        chunks = -(-plan.conv.out_height // rows)
        return min(-(-plan.conv.out_height // (chunks * fewest)) * fewest, plan.conv.out_height)

    def _groups(self, channels: int) -> int:
        """Groups of channels."""
        return -(-channels // self._config.group_channels)

"""How images lie in memory for the machine that does whole steps: tiles of pixels, groups, planes.

``g`` channels lie side by side, a group (`ArrayConfig.group_channels`), and a tile is as many pixels as the
array has columns: rows of ``pitch`` pixels. Codes lie as ``[image][tile][group][plane][pixel of the
tile][channel of the group]``, a bit each, bit 0 of a byte first. An image wider than a tile lies in strips: a
row is several tiles.
"""

from dataclasses import dataclass

from cpt.hw.contract.config import BEAT_BYTES, MAX_BITS, TAPS, ArrayConfig, require

FILL_PIXELS = 8
"""Neighbouring pixels of a group and plane that the window fetch takes in a cycle: a step."""
STREAM_BYTES = 2 * BEAT_BYTES
"""Bytes in address order that both read ports together bring in a cycle; groups begin at multiples of it."""
PIECES = 8
"""Parts of a word that hold pixels where K runs along pixels; the ninth is zero."""
STRIP_COLUMNS = 2 * FILL_PIXELS
"""Columns of an array, at least, on which pictures may lie in strips."""
COPIES = 3
"""Copies of every row where K runs along pixels: shifted by -1, 0 and 1 pixels."""


def step_bits(config: ArrayConfig) -> int:
    """Bits of a step."""
    return FILL_PIXELS * config.group_channels


@dataclass(frozen=True)
class Picture:
    """Where the pixels of an image of ``height`` x ``width`` lie among tiles."""

    config: ArrayConfig
    height: int
    width: int

    def __post_init__(self) -> None:
        shape, group = (self.config.rows, self.config.cols), self.config.group_channels
        require(
            shape == (group, 2 * group) and group & (group - 1) == 0,
            f"rows and cols are {shape}; allowed with groups of {group}: a power of two and twice it",
        )
        for name in ("height", "width"):
            value = getattr(self, name)
            require(value >= 1, f"{name} is {value}; allowed: at least 1")

    @property
    def pitch(self) -> int:
        """Pixels from one row of a tile to the next: a power of two."""
        return max(FILL_PIXELS, min(self.config.cols, 1 << (self.width - 1).bit_length()))

    @property
    def tile_rows(self) -> int:
        """Rows of pixels in a tile."""
        return self.config.cols // self.pitch

    @property
    def strips(self) -> int:
        """Tiles side by side."""
        return -(-self.width // self.pitch)

    @property
    def span(self) -> int:
        """Pixels along K (dW) that a row takes: those of its strips, rounded up to a power of two of them."""
        return self.pitch << (self.strips - 1).bit_length()

    @property
    def set_images(self) -> int:
        """Images whose row a word along K holds: a set. 0: not even one."""
        return PIECES * self.config.group_channels // self.span

    @property
    def tiles(self) -> int:
        """Tiles of an image: left to right, then down."""
        return -(-self.height // self.tile_rows) * self.strips

    def place(self, y: int, x: int) -> tuple[int, int]:
        """Tile, and pixel of the tile, at row ``y`` and column ``x``."""
        down, row = divmod(y, self.tile_rows)
        strip, column = divmod(x, self.pitch)
        return down * self.strips + strip, row * self.pitch + column


@dataclass(frozen=True)
class CodesLayout:
    """Where the codes of a tensor of ``channels`` lie, relative to its base address."""

    picture: Picture
    channels: int
    max_bits: int = MAX_BITS
    """Planes that space is kept for."""

    def __post_init__(self) -> None:
        require(self.channels >= 1, f"channels are {self.channels}; allowed: at least 1")
        require(1 <= self.max_bits <= MAX_BITS, f"max_bits is {self.max_bits}; allowed: 1..{MAX_BITS}")

    @property
    def groups(self) -> int:
        """Groups of channels; channels that the last one lacks hold code 0."""
        return -(-self.channels // self.picture.config.group_channels)

    @property
    def plane_bytes(self) -> int:
        """Bytes of a plane of a tile and group; planes touch each other."""
        return self.picture.config.cols * self.picture.config.group_channels // 8

    @property
    def group_stride(self) -> int:
        """Bytes from one group of a tile to the next."""
        return -(-self.max_bits * self.plane_bytes // STREAM_BYTES) * STREAM_BYTES

    @property
    def tile_stride(self) -> int:
        """Bytes from one tile to the next."""
        return self.groups * self.group_stride

    @property
    def image_stride(self) -> int:
        """Bytes from one image to the next."""
        return self.picture.tiles * self.tile_stride

    def place(self, image: int, channel: int, y: int, x: int, plane: int) -> tuple[int, int]:
        """Byte, and bit within it, of bit ``plane`` of a code."""
        tile, pixel = self.picture.place(y, x)
        group, lane = divmod(channel, self.picture.config.group_channels)
        byte, bit = divmod(pixel * self.picture.config.group_channels + lane, 8)
        start = image * self.image_stride + tile * self.tile_stride + group * self.group_stride
        return start + plane * self.plane_bytes + byte, bit


@dataclass(frozen=True)
class WindowLayout:
    """What the window memories hold of a tensor: a slot of words for every tile of outputs.

    Word ``plane * ksteps + k`` of a slot. With ``kernel`` 3, K step ``k`` is a group of channels and part
    ``3 * (dy + 1) + dx + 1`` of a word its pixels ``(stride*y + dy, stride*x + dx)``, zero outside; with 1 it
    is nine groups at ``(stride*y, stride*x)``, part by part, and groups that do not exist are zero. With
    ``spread``, height and width of the outputs, the source's pixels stand at even rows and columns of a
    picture of that size, zeros between them.
    """

    source: Picture
    channels: int
    kernel: int
    stride: int
    spread: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require(self.kernel in (1, 3), f"kernel is {self.kernel}; allowed: 1, 3")
        require(self.stride in (1, 2), f"stride is {self.stride}; allowed: 1, 2")
        if self.spread:
            require(self.stride == 1, f"stride is {self.stride}; allowed with spread: 1")
            for number, name in enumerate(("height", "width")):
                size, wide = getattr(self.source, name), self.spread[number]
                require(
                    wide in (2 * size - 1, 2 * size),
                    f"{name} spread is {wide}; allowed of {size}: {2 * size - 1}, {2 * size}",
                )

    @property
    def output(self) -> Picture:
        """The picture whose pixels the columns are."""
        if self.spread:
            return Picture(self.source.config, *self.spread)
        sizes = (self.source.height, self.source.width)
        return Picture(self.source.config, *(-(-size // self.stride) for size in sizes))

    @property
    def groups(self) -> int:
        """Groups of channels."""
        return -(-self.channels // self.source.config.group_channels)

    @property
    def ksteps(self) -> int:
        """Words along K."""
        return self.groups if self.kernel == 3 else -(-self.groups // TAPS)

    def slot_words(self, bits: int) -> int:
        """Words of a slot at ``bits`` planes."""
        return bits * self.ksteps

    @property
    def fewest_slots(self) -> int:
        """Slots without which nothing gets done: the tiles that one tile of the source is part of, at once.

        More keep the array busy while they fill.
        """
        strips = self.output.strips
        if self.spread:
            # Behind the first tile of the source the last outputs of the one before wait for a row; where the
            # outputs are not twice as many as the first tile's, it has so many fewer of its own.
            few = strips == 1 and self.output.tiles < 2 * self.reach
            return self.reach + (0 if few or self.kernel == 1 else strips)
        if self.kernel == 1:
            return 1
        beside = 0 if strips == 1 else 3 - self.stride
        return (3 - self.stride) * strips + 1 + beside

    @property
    def most_words(self) -> int:
        """Words of a slot at most, where the window memories hold the slots that are needed at once."""
        return self.source.config.b_depth_words // self.fewest_slots

    def in_half(self, bits: int) -> bool:
        """Whether slots lie in half of the window memories: twice as many have room there as are needed at
        once, so that the array is kept busy."""
        return self.slot_words(bits) * self.fewest_slots <= self.source.config.b_depth_words // 4

    def require_room(self, bits: int) -> None:
        """Raise `ContractError` unless a fetch can make such windows of codes of so many ``bits``."""
        source, output, config = self.source, self.output, self.source.config
        require(
            self.stride == 1 or output.strips == 1,
            f"width is {source.width}; allowed with stride 2: at most {2 * config.cols}",
        )
        for picture in (source, output):
            require(
                picture.strips == 1 or config.cols >= STRIP_COLUMNS,
                f"width is {picture.width}; allowed with {config.cols} columns: at most {config.cols}",
            )
        require(
            not self.spread or source.strips == 1,
            f"width is {output.width}; allowed of a spread picture: at most {2 * config.cols}",
        )
        words = self.slot_words(bits)
        require(
            words <= self.most_words,
            f"words of a slot are {words} at {bits} bits; allowed: at most {self.most_words}",
        )

    @property
    def reach(self) -> int:
        """Tiles of outputs that even rows of one tile of the source stand in, where it is spread."""
        return 2 * self.source.tile_rows // self.output.tile_rows * self.output.strips

    @property
    def zero_row_below(self) -> bool:
        """Whether the last outputs need a row below the image that no tile of it has."""
        rows, height = self.source.tile_rows, self.source.height
        return (
            self.kernel == 3 and height % rows == 0 and self.stride * (self.output.height - 1) + 1 == height
        )


@dataclass(frozen=True)
class PixelLayout:
    """What the window memories hold of a tensor where K runs along pixels (dW): slots for sets of images.

    A word is one row of ``images`` images, one channel: their pixels side by side in `PIECES` ninths of it,
    those of all strips of a row, which begins at a multiple of `Picture.span`; what the last ninth and pixels
    beyond the output's width hold is not said (the errors are 0 there). A slot
    serves ``rows`` rows of the output: word ``row * row_words + plane * COPIES + dx + 1`` holds the pixels
    ``stride*x + dx`` of row ``stride * rows * chunk - 1 + row`` of the source, zero outside. Column ``c`` of
    the array is channel ``c mod g`` of the group in its half.
    """

    source: Picture
    stride: int
    rows: int

    def __post_init__(self) -> None:
        require(self.stride in (1, 2), f"stride is {self.stride}; allowed: 1, 2")
        require(
            self.source.width <= self.most_width,
            f"width is {self.source.width}; allowed along K: at most {self.most_width}",
        )
        height = self.output.height
        require(
            self.rows == height or (1 <= self.rows < height and self.source.tile_rows == 1),
            f"rows are {self.rows}; allowed: {height}, or fewer where a tile is one row",
        )

    @property
    def most_width(self) -> int:
        """Widest source: its outputs fill a word, or the array's columns where these hold no strips."""
        config = self.source.config
        if config.cols < STRIP_COLUMNS:
            return config.cols
        return self.stride * PIECES * config.group_channels

    @property
    def output(self) -> Picture:
        """The picture whose pixels lie along K."""
        sizes = (self.source.height, self.source.width)
        return Picture(self.source.config, *(-(-size // self.stride) for size in sizes))

    @property
    def images(self) -> int:
        """Images in a word: a set."""
        return self.output.set_images

    @property
    def chunks(self) -> int:
        """Slots that a set of images takes."""
        return -(-self.output.height // self.rows)

    @property
    def slot_rows(self) -> int:
        """Rows of the source in a slot."""
        return self.stride * (self.rows - 1) + COPIES

    def row_words(self, bits: int) -> int:
        """Words of a row at ``bits`` planes."""
        return bits * COPIES

    def slot_words(self, bits: int) -> int:
        """Words of a slot at ``bits`` planes."""
        return self.row_words(bits) * self.slot_rows

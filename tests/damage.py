"""Damages checkpoints and data files in every way that disks, cards, copies and people do.

``python tests/damage.py --count 1000 --seed 1`` prints a JSON line and exits with status 1 if anything but a
line of error was seen, or if what the checkpoint before held was lost.
"""

import argparse
import io
import json
import random
import resource
import sys
import tempfile
import traceback
import zipfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np

from cpt.host.data import Images, load_images, save_images
from cpt.host.errors import HostError
from cpt.hw.contract import ContractError
from cpt.model import checkpoint
from cpt.model.checkpoint import CheckpointError

SPARE_BYTES = 1 << 30
"""Memory that reading a damaged file of some kilobytes may take in all."""


def flipped(data, rng):
    for _ in range(rng.choice((1, 1, 1, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def truncated(data, rng):
    return data[: rng.randrange(len(data))]


def zeroed(data, rng):
    start = rng.randrange(len(data))
    count = min(rng.choice((1, 16, 512, 4096)), len(data) - start)
    data[start : start + count] = bytes(count)
    return data


def overwritten(data, rng):
    start = rng.randrange(len(data))
    count = min(rng.choice((1, 16, 512)), len(data) - start)
    data[start : start + count] = rng.randbytes(count)
    return data


def shifted(data, rng):
    """Bytes inserted, taken out or doubled."""
    start, count = rng.randrange(len(data)), rng.choice((1, 2, 100))
    kind = rng.randrange(3)
    if kind == 0:
        return data[:start] + rng.randbytes(count) + data[start:]
    if kind == 1:
        return data[:start] + data[start + count :]
    return data[: start + count] + data[start:]


def odd_headers(data, rng):
    """Another value in a field of a zip header: method, flags, version, sizes, offsets, counts."""
    mark = rng.choice((b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"))
    places = [i for i in range(len(data) - 4) if data[i : i + 4] == mark]
    start = rng.choice(places) + 4 + 2 * rng.randrange(9 if mark == b"PK\x05\x06" else 13)
    value = rng.choice((b"\xff\xff", b"\x00\x00", b"\x01\x00", b"\x63\x00", rng.randbytes(2)))
    data[start : start + 2] = value * rng.choice((1, 2))
    return data


def rewritten(data, change, method=zipfile.ZIP_STORED):
    """The archive with its entries [(name, bytes)] changed; checksums are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in change(entries):
            archive.writestr(name, content)
    return bytearray(packed.getvalue())


def swapped(data, rng):
    """Two entries under each other's name, or one under a new one."""

    def change(entries):
        i, j = rng.sample(range(len(entries)), 2)
        names = [name for name, _ in entries]
        names[i], names[j] = (names[j], names[i]) if rng.random() < 0.7 else (names[i], "new.npy")
        return zip(names, [content for _, content in entries], strict=True)

    return rewritten(data, change)


def missing(data, rng):
    return rewritten(data, lambda entries: rng.sample(entries, rng.randrange(len(entries))))


def huge(data, rng):
    """An array that is said to be enormous, negative or odd, with right checksums."""
    shape = rng.choice(
        ("(10000000000000,)", "(-1,)", "(65536, 65536, 65536)", "(1,)", "()", "(" * 500, "'x'")
    )
    kind = rng.choice(("<f4", "|O", "<U0", "<i99", "|V7", "<f8"))
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header

    def change(entries):
        i = rng.randrange(len(entries))
        return [(name, array + b"1234" if n == i else content) for n, (name, content) in enumerate(entries)]

    return rewritten(data, change)


def odd_manifest(data, rng):
    """Another JSON text in the first entry."""
    text = rng.choice(
        (b"[" * 20000, b"null", b"{}", b'{"arrays": 1, "meta": 2, "format": 3}', b"\xff", b"1" * 9999)
    )
    packed = io.BytesIO()
    np.lib.format.write_array(packed, np.frombuffer(text, np.uint8))
    return rewritten(data, lambda entries: [(entries[0][0], packed.getvalue()), *entries[1:]])


def bombed(data, rng):
    """An entry that becomes a thousand times larger."""
    content = bytes(rng.choice((1, 1 << 24)))
    return rewritten(data, lambda entries: [*entries[1:], (entries[0][0], content)], zipfile.ZIP_DEFLATED)


def another(data, rng):
    """Another file altogether."""
    return bytearray(
        rng.choice((b"", b"PK", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"\x93NUMPY", rng.randbytes(5000)))
    )


DAMAGES = (
    *(flipped, flipped, flipped, truncated, zeroed, overwritten, shifted, odd_headers, odd_headers),
    *(swapped, missing, huge, odd_manifest, bombed, another),
)


def same(found, expected):
    """Whether two sets of arrays are the same to the bit."""
    return set(found) == set(expected) and all(found[n].tobytes() == expected[n].tobytes() for n in expected)


def damage(count, seed):
    """Damage ``count`` files; how often what happened, and the damages after which something wrong did."""
    rng = random.Random(seed)
    numbers = np.random.default_rng(seed)
    states = [
        {"w": numbers.standard_normal((9, 7)), "v": np.arange(step, step + 50), "s": np.int64(step)}
        for step in (1, 2)
    ]
    images = Images(numbers.standard_normal((20, 4, 4, 1)).astype(np.float32), np.arange(20) % 2)
    happened, wrong = Counter(), []
    with tempfile.TemporaryDirectory() as scratch:
        path, data = Path(scratch) / "checkpoint.npz", Path(scratch) / "data.npz"
        for step, arrays in enumerate(states, 1):
            checkpoint.save_keeping_previous(path, arrays, {"step": step})
        save_images(data, images)
        whole = {place: place.read_bytes() for place in (path, checkpoint.previous(path), data)}
        for number in range(count):
            kind = rng.choice(DAMAGES)
            for place, content in whole.items():
                place.write_bytes(content)
            try:
                if number % 3 == 2:
                    data.write_bytes(kind(bytearray(whole[data]), rng))
                    happened[_read_images(data, images)] += 1
                else:
                    path.write_bytes(kind(bytearray(whole[path]), rng))
                    if both := rng.random() < 0.2:
                        place = checkpoint.previous(path)
                        place.write_bytes(rng.choice(DAMAGES)(bytearray(whole[place]), rng))
                    happened[_read_newest(path, states, both)] += 1
            except Exception:
                wrong.append(f"{number} {kind.__name__}: {traceback.format_exc(limit=-3)}")
    return {"seed": seed, "happened": dict(happened), "wrong": wrong}


def _read_newest(path, states, both):
    """What came of loading; ``both``: the checkpoint before is damaged too."""
    refusals = []
    try:
        arrays, meta = checkpoint.load_newest(path)
    except CheckpointError as error:
        refusals.append(str(error))
    if refusals:
        assert both, f"the one before is whole: {refusals[0]}"
        assert "\n" not in refusals[0]
        return "one line"
    assert same(arrays, states[meta["step"] - 1])
    return ("previous", "newest")[meta["step"] - 1]


def _read_images(path, expected):
    refusals = []
    try:
        found = load_images(path)
    except (HostError, ContractError) as error:
        refusals.append(str(error))
    if refusals:
        assert "\n" not in refusals[0]
        return "images refused"
    assert found.pixels.tobytes() == expected.pixels.tobytes()
    assert found.labels.tobytes() == expected.labels.tobytes()
    return "images whole"


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_BYTES, resource.RLIM_INFINITY))
    result = damage(arguments.count, arguments.seed)
    print(json.dumps(result))
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())

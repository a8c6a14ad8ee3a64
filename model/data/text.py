"""Token streams for language models: WikiText-103, Penn Treebank, and a text that ships with Python."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cpt.model.data.source import DataError, find_folder, regular_file

END, UNKNOWN = "<eos>", "<unk>"
TEST_SHARE = 0.1
"""Of Python's text, held out for testing."""


@dataclass(frozen=True)
class TokenSet:
    """Training and test stream, (N,) int64, numbers of ``vocabulary``; ``unit``: word or character."""

    name: str
    train: np.ndarray
    test: np.ndarray
    vocabulary: tuple[str, ...]
    unit: str

    def __post_init__(self) -> None:
        for part, stream in (("train", self.train), ("test", self.test)):
            if len(stream) < 2:
                raise DataError(f"{part} text has {len(stream)} tokens; allowed: at least 2")

    def sha256(self) -> str:
        """Hash of both streams and the vocabulary."""
        digest = hashlib.sha256("\n".join(self.vocabulary).encode())
        for stream in (self.train, self.test):
            digest.update(np.ascontiguousarray(stream, "<i8").tobytes())
        return digest.hexdigest()


def load_wikitext103(root: Path) -> TokenSet:
    """``wiki.train.tokens`` and ``wiki.test.tokens`` of ``root`` (Merity et al. 2016, word level)."""
    folder = find_folder(root, ("wikitext-103",), "wiki.train.tokens")
    return _words("wikitext103", folder / "wiki.train.tokens", folder / "wiki.test.tokens")


def load_penn_treebank(root: Path) -> TokenSet:
    """``ptb.train.txt`` and ``ptb.test.txt`` of ``root`` (Mikolov's preparation, word level)."""
    folder = find_folder(root, ("simple-examples/data", "data"), "ptb.train.txt")
    return _words("ptb", folder / "ptb.train.txt", folder / "ptb.test.txt")


def load_python_text() -> TokenSet:
    """The help topics of the running Python, character by character; the last tenth of them is for testing.

    0.4 to 0.5 million characters; which ones depends on the Python version, so compare hashes.
    """
    from pydoc_data.topics import topics

    text = "".join(topics[name] for name in sorted(topics))
    cut = round(len(text) * (1 - TEST_SHARE))
    vocabulary = tuple(sorted(set(text)))
    numbers = {character: number for number, character in enumerate(vocabulary)}
    stream = np.array([numbers[character] for character in text], np.int64)
    return TokenSet("python-text", stream[:cut], stream[cut:], vocabulary, "character")


def _words(name: str, train: Path, test: Path) -> TokenSet:
    """Words between blanks, every line closed by ``<eos>``; the vocabulary is the training text's.

    Words are numbered by falling frequency, then alphabetically; unknown ones count as ``<unk>``.
    """
    counts = Counter(_tokens(train))
    counts.setdefault(UNKNOWN, 0)
    vocabulary = tuple(sorted(counts, key=lambda word: (-counts[word], word)))
    numbers = {word: number for number, word in enumerate(vocabulary)}

    def stream(path: Path) -> np.ndarray:
        unknown = numbers[UNKNOWN]
        return np.frombuffer(array("q", (numbers.get(word, unknown) for word in _tokens(path))), np.int64)

    return TokenSet(name, stream(train), stream(test), vocabulary, "word")


def _tokens(path: Path) -> Iterator[str]:
    """Words of a file, line by line."""
    try:
        with regular_file(path).open(encoding="utf-8") as file:
            for line in file:
                yield from line.split()
                yield END
    except OSError as error:
        raise DataError(f"data {path} cannot be read ({error.strerror}); allowed: a text file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"data {path} is not UTF-8 at byte {error.start}; allowed: UTF-8 text") from None

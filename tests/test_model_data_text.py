"""Token streams, read from small files written in their published formats."""

from itertools import pairwise

import numpy as np
import pytest

from cpt.model.data import DataError, load_penn_treebank, load_python_text, load_wikitext103
from cpt.model.training import LanguageModel

WIKITEXT = " \n = Heading = \n \n the cat <unk> the mat . \n", " \n the dog . \n"
PTB = " the cat sat on <unk> mat \n a N cat \n", " the dog sat \n"


def words(stream, vocabulary):
    return [vocabulary[number] for number in stream]


def test_wikitext_lines_become_words_and_ends(tmp_path):
    folder = tmp_path / "wikitext-103"
    folder.mkdir()
    for part, text in zip(("train", "test"), WIKITEXT, strict=True):
        (folder / f"wiki.{part}.tokens").write_text(text)
    for root in (tmp_path, folder):
        found = load_wikitext103(root)
        end = "<eos>"
        expected = [end, "=", "Heading", "=", end, end, "the", "cat", "<unk>", "the", "mat", ".", end]
        assert words(found.train, found.vocabulary) == expected
        assert words(found.test, found.vocabulary) == [end, "the", "<unk>", ".", end]
        assert found.vocabulary[0] == end  # the most frequent
        assert found.unit == "word"


def test_penn_treebank_is_read_from_its_folders(tmp_path):
    folder = tmp_path / "simple-examples" / "data"
    folder.mkdir(parents=True)
    for part, text in zip(("train", "test"), PTB, strict=True):
        (folder / f"ptb.{part}.txt").write_text(text)
    found = load_penn_treebank(tmp_path)
    assert words(found.train, found.vocabulary) == [*PTB[0].split()[:6], "<eos>", "a", "N", "cat", "<eos>"]
    assert words(found.test, found.vocabulary) == ["the", "<unk>", "sat", "<eos>"]


def test_missing_and_binary_text_is_named(tmp_path):
    with pytest.raises(DataError, match=r"data has no ptb\.train\.txt in"):
        load_penn_treebank(tmp_path)
    (tmp_path / "ptb.train.txt").write_bytes(b"word \xff\xfe")
    with pytest.raises(DataError, match=r"ptb\.train\.txt is not UTF-8 at byte 5"):
        load_penn_treebank(tmp_path)
    (tmp_path / "ptb.train.txt").write_text("word word\n")
    with pytest.raises(DataError, match=r"ptb\.test\.txt cannot be read"):
        load_penn_treebank(tmp_path)


def test_pythons_own_text_is_there_and_the_same_every_time():
    found = load_python_text()
    assert found.sha256() == load_python_text().sha256()
    assert len(found.train) > 300_000
    assert len(found.test) == pytest.approx(len(found.train) / 9, rel=0.01)
    text = "".join(words(found.train, found.vocabulary))
    assert "assert" in text
    assert "The standard type hierarchy" in text


def task(carries):
    return LanguageModel(load_python_text(), sequence=10, carries=carries)


def test_targets_are_the_inputs_one_token_on():
    for carries in (False, True):
        inputs, targets = task(carries).train_batch(np.array([0, 7]), 0, 0)
        np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
        np.testing.assert_array_equal(inputs[1], load_python_text().train[70:80])


def test_rows_are_read_on_from_step_to_step_where_state_is_carried():
    carried = task(True)
    order = carried.epoch_order(batch=4, seed=0, epoch=0)
    for before, after in pairwise(order):
        _, targets = carried.train_batch(before, 0, 0)
        inputs, _ = carried.train_batch(after, 0, 0)
        np.testing.assert_array_equal(targets[:, -1], inputs[:, 0])
    shuffled = task(False).epoch_order(4, 0, 0)
    assert len(np.unique(shuffled)) == shuffled.size == order.size
    assert not np.array_equal(shuffled, task(False).epoch_order(4, 0, 1))


@pytest.mark.parametrize("carries", [False, True])
def test_the_test_text_is_read_once(carries):
    read = task(carries)
    found = [read.test_batch(number, 64)[0] for number in range(read.test_steps(64))]
    starts = np.concatenate([rows[:, 0] for rows in found])
    count = (len(read.tokens.test) - 1) // 10
    if carries:
        # whole rows only: what does not fill all rows is left out
        assert count - 64 < len(starts) <= count
    else:
        np.testing.assert_array_equal(starts, read.tokens.test[: 10 * count : 10])


def test_a_sequence_longer_than_the_text_is_refused():
    with pytest.raises(ValueError, match="sequence is 9999999; allowed: below"):
        LanguageModel(load_python_text(), 9_999_999)

"""Fixtures that several test files share."""

import pytest


@pytest.fixture
def one_thread():
    """One torch thread, so that sums do not depend on the machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def refusal(tmp_path, capsys):
    """The line with which ``train(*options, out=tmp_path)`` refuses; it returns 2 and writes nothing."""

    def of(train, options):
        try:
            status = train(*options, out=tmp_path)
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        assert status == 2
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("cpt train: ")
        assert not list(tmp_path.rglob("*.*"))
        return captured.err

    return of

"""Files are replaced as a whole, and nothing but files is replaced."""

import os
import socket
import stat

import pytest

from cpt.main import main
from cpt.model.files import check_writable, remove_leftovers, write_atomically


def special(folder):
    """One of each kind that is no file, by name."""
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
    (folder / "folder").mkdir()
    (folder / "to-null").symlink_to("/dev/null")
    (folder / "loop").symlink_to("loop")
    return ("fifo", "socket", "folder", "to-null", "loop")


@pytest.mark.parametrize("write", [lambda path: write_atomically(path, b"x"), check_writable])
def test_only_files_are_replaced(tmp_path, write):
    names = special(tmp_path)
    before = {name: os.lstat(tmp_path / name) for name in names}
    for name in names:
        with pytest.raises(OSError, match=f"cannot write .*{name}: ") as caught:
            write(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert {name: os.lstat(tmp_path / name) for name in names} == before
    assert len(list(tmp_path.iterdir())) == len(names)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("far/file")
    write_atomically(tmp_path / "link", b"new")
    assert os.readlink(tmp_path / "link") == "far/file"
    assert (tmp_path / "far" / "file").read_bytes() == b"new"
    (tmp_path / "dangling").symlink_to("far/other")
    write_atomically(tmp_path / "dangling", b"made")
    assert (tmp_path / "far" / "other").read_bytes() == b"made"
    assert {path.name for path in (tmp_path / "far").iterdir()} == {"file", "other"}


def test_looking_whether_a_file_can_be_written_leaves_nothing(tmp_path):
    check_writable(tmp_path / "a" / "b" / "c")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="Not a directory"):
        check_writable(tmp_path / "file" / "below")


def test_only_what_a_killed_writer_left_is_removed(tmp_path):
    for name in (".a.json.x1_y2z3w", ".a.json.previous", ".a.json.bak", "a.json", ".a.json.x1_y2z3w4"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path, "a.json")
    assert {path.name for path in tmp_path.iterdir()} == {".a.json.bak", "a.json", ".a.json.x1_y2z3w4"}


def test_a_command_told_to_write_to_a_device_says_so_in_one_line(tmp_path, capsys):
    (tmp_path / "cpt-zc706.tar.gz").symlink_to("/dev/null")
    assert main(["package", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert (
        error == f"cpt package: cannot write {tmp_path}/cpt-zc706.tar.gz: it is a device; allowed: a file\n"
    )

from __future__ import annotations

import pytest

from sftok.tool.output import complete_file, progress


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "deep" / "file"
    with complete_file(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted():
        with complete_file(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_progress_is_quiet_off_a_terminal(capsys):
    with progress("working", 3) as advance:
        advance(2)
    assert capsys.readouterr() == ("", "")

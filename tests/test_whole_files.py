"""Files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from spec_envs.whole_files import write_whole


def test_makes_the_folder_and_replaces_the_file(tmp_path):
    path = tmp_path / "new" / "file.json"
    for text in ("first", "second, with \ud83d"):
        write_whole(path, text)
        assert path.read_text("utf-8", "surrogatepass") == text
    assert [each.name for each in path.parent.iterdir()] == ["file.json"]


@pytest.mark.parametrize("private", [False, True])
def test_a_private_file_is_for_the_user_alone(tmp_path, private):
    usual = tmp_path / "usual"
    usual.touch()
    write_whole(tmp_path / "file", "text", private=private)
    of_others = (tmp_path / "file").stat().st_mode & 0o077
    assert of_others == (0 if private else usual.stat().st_mode & 0o077)


def test_a_failure_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_whole(path, "before")

    def fails(self: Path, target: Path) -> None:
        raise OSError("no room")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="no room"):
        write_whole(path, "after")
    assert path.read_text() == "before" and [each.name for each in tmp_path.iterdir()] == ["file"]

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from einops import rearrange

from sftok.data.transforms import pixels
from sftok.tool.errors import ToolError
from sftok.tool.images import find_images, output_names, read_batches


def test_folders_are_searched_in_sorted_order(photos, draw):
    alone = draw("alone.tiff")
    found = find_images([alone, photos])
    names = [os.path.relpath(file, Path(photos).parent) for file in found]
    top = [f"photos/{place}.png" for place in range(4)]
    assert names == ["alone.tiff", *top, *(f"photos/deeper/{place}.bmp" for place in range(3))]


def test_an_image_is_found_once_by_its_first_spelling(photos):
    first = f"{photos}/deeper/../1.png"
    found = find_images([first, photos])
    assert len(found) == 7
    assert found[0] == first


def test_a_file_of_any_name_is_taken_if_it_is_named(draw):
    assert find_images([draw("a.png")]) == [draw("a.png")]
    os.rename(draw("a.png"), draw("b.png") + ".txt")  # noqa: PTH104
    assert len(find_images([draw("b.png") + ".txt"])) == 1


def test_linked_folders_are_followed_but_not_in_circles(photos, draw):
    elsewhere = Path(draw("elsewhere/z.png")).parent
    (Path(photos) / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(photos)
    assert len(find_images([photos])) == 8


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(ToolError, match=r"absent\.png: no such file or folder"):
        find_images([str(tmp_path / "absent.png")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ToolError, match="empty: no images in this folder"):
        find_images([str(tmp_path / "empty")])


@pytest.mark.parametrize("batch_size", [1, 3, 7, 20])
def test_batches_hold_every_image_as_the_transform_leaves_it(photos, batch_size):
    files = find_images([photos])
    batches = list(read_batches(files, 16, batch_size, "fatal"))
    assert [file for batch in batches for file in batch.files] == files
    assert [len(batch.files) for batch in batches][:-1] == [batch_size] * (len(batches) - 1)
    assert sum(batch.seen for batch in batches) == 7
    images = torch.cat([batch.images for batch in batches])
    assert images.dtype == torch.float32
    expected = np.stack([pixels(Path(file).read_bytes(), 16) for file in files])
    assert torch.equal(images * 255, rearrange(torch.from_numpy(expected), "n h w c -> n c h w").float())


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_an_unreadable_image_is_named(photos, caplog, content):
    files = find_images([photos])
    Path(files[2]).write_bytes(content)
    with pytest.raises(ToolError, match=r"photos/2\.png: cannot be read \(.*--unreadable skip"):
        list(read_batches(files, 16, 2, "fatal"))
    with caplog.at_level(logging.WARNING):
        batches = list(read_batches(files, 16, 4, "skip"))
    assert [len(batch.files) for batch in batches] == [4, 2]
    assert files[2] not in batches[0].files
    (record,) = caplog.records
    assert files[2] in record.getMessage()


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(ToolError, match="none of the 1 files is an image"):
        list(read_batches([str(tmp_path / "a.png")], 16, 4, "skip"))


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a.jpg"], ["a.png"]),
        (["x/y/a.jpg", "x/z/b.webp"], ["y/a.png", "z/b.png"]),
        (["x/a.jpg", "x/a.png", "x/b.png"], ["a.jpg.png", "a.png.png", "b.png.png"]),
        (["../../up/a.jpg", "../../up/more/b.jpg"], ["a.png", "more/b.png"]),
        (["/abs/a.b.jpg", "/abs/c"], ["a.b.png", "c.png"]),
    ],
)
def test_names_keep_the_folders_below_the_common_one(files, names):
    assert [str(name) for name in output_names(files)] == names


@pytest.mark.parametrize("files", [["../../../x", "y"], ["/etc/passwd", "a"], ["..a/b", "../b"]])
def test_no_name_leaves_the_folder(files):
    for name in output_names(files):
        assert not name.is_absolute()
        assert ".." not in name.parts


def test_a_file_twice_is_refused():
    with pytest.raises(ToolError, match="listed more than once"):
        output_names(["a/b.png", "a/c/../b.png"])

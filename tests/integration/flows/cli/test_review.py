"""`tierrec review` edits review.yaml as the service reads it, and keeps what was written by hand."""

from pathlib import Path

import pytest

from services.rules.review import Review
from tests.support.commands import tierrec
from tierrec_core.base.errors import SettingsError


def test_blocked_and_approved_items_are_in_the_file_and_comments_stay(tmp_path: Path) -> None:
    path = tmp_path / "review.yaml"
    path.write_text("# think before an edit\nblocked: ['7']\n")
    for words in (("block", "8", "9"), ("unblock", "7"), ("approve", "5"), ("withdraw", "6")):
        tierrec("review", *words, "--folder", tmp_path)
    review = Review.read(path)
    assert review.blocked == ("8", "9")
    assert review.approval.approved == ("5",)
    assert "think" in path.read_text()


def test_nonsense_in_the_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "review.yaml"
    path.write_text("bloked: []\n")
    with pytest.raises(SettingsError, match="'blocked'"):
        tierrec("review", "block", "8", "--folder", tmp_path)
    assert path.read_text() == "bloked: []\n"

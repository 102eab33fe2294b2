"""`tierrec review` edits review.yaml as a person would, and what it writes is what the service reads."""

from pathlib import Path

from services.rules.review import Review
from tests.support.projects import command


def test_blocked_and_approved_items_are_in_the_file_and_comments_stay(tmp_path: Path) -> None:
    path = tmp_path / "review.yaml"
    path.write_text("# whoever edits this: think\nblocked: ['7']\n")
    for words in (("block", "8", "9"), ("unblock", "7"), ("approve", "5"), ("withdraw", "6")):
        done = command(tmp_path, "tierrec", "review", *words, "--folder", str(tmp_path))
        assert done.returncode == 0, done.stderr
    review = Review.read(path)
    assert review.blocked == ("8", "9")
    assert review.approval.approved == ("5",)
    assert "think" in path.read_text()


def test_nonsense_in_the_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "review.yaml"
    path.write_text("bloked: []\n")
    done = command(tmp_path, "tierrec", "review", "block", "8", "--folder", str(tmp_path))
    assert done.returncode == 2
    assert "'blocked'" in done.stderr
    assert path.read_text() == "bloked: []\n"

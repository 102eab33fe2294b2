"""Review: nothing that a person has blocked, or has not approved, is ever shown; the file survives its editors."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.catalogue.catalogue import Catalogue
from services.rules.review import Review, edit_review
from tierrec_core.base.errors import SettingsError

ITEMS = pd.DataFrame({"item_id": [f"i{number}" for number in range(12)], "category": ["wine", "tea", None] * 4})
ITEMS["price"] = [float(number % 5) for number in range(12)]
CATALOGUE = Catalogue.of(ITEMS)
Ids = tuple[str, ...]
IDS = st.lists(st.sampled_from([*ITEMS["item_id"], "gone"]), max_size=6).map(tuple)
ANY_ID = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@given(IDS, st.lists(st.sampled_from(["wine", "tea", "none"]), max_size=1).map(tuple), st.booleans(), IDS)
def test_hides_what_is_blocked_or_waits_for_approval(blocked: Ids, categories: Ids, asked: bool, approved: Ids):
    approval = {"required_for": "price > 2" if asked else None, "approved": approved}
    review = Review(blocked=blocked, blocked_categories=categories, approval=approval)
    expected = [
        row.item_id not in blocked
        and row.category not in categories
        and not (asked and row.price > 2 and row.item_id not in approved)
        for row in ITEMS.itertuples()
    ]
    found = review.allowed(CATALOGUE)
    assert (found is None and all(expected)) or found.tolist() == expected


def test_no_review_lets_everything_through(tmp_path: Path):
    assert Review.read(tmp_path / "review.yaml").allowed(CATALOGUE) is None


def test_items_posted_later_are_reviewed_too():
    review = Review(blocked=("late",), blocked_categories=("wine",), approval={"required_for": "price > 2"})
    rows = [("late", "tea", 1), ("red", "wine", 1), ("dear", "tea", 9), ("fine", "tea", 1)]
    posted = [dict(zip(("item_id", "category", "price"), row, strict=True)) for row in rows]
    assert review.allowed(CATALOGUE).shape == (12,)
    assert review.allowed(CATALOGUE.with_items(posted))[12:].tolist() == [False, False, False, True]


@settings(max_examples=25)
@example([("block", ["\x85", "a\u2028b"])])
@given(
    st.lists(
        st.tuples(st.sampled_from(["block", "unblock", "approve", "withdraw"]), st.lists(ANY_ID, max_size=3)),
        max_size=4,
    )
)
def test_edits_leave_what_was_asked_for(tmp_path_factory: pytest.TempPathFactory, edits: list):
    path = tmp_path_factory.mktemp("shop") / "review.yaml"
    blocked: list[str] = []
    approved: list[str] = []
    for edit, ids in edits:
        listed = blocked if edit in ("block", "unblock") else approved
        for item_id in ids:
            if edit in ("block", "approve") and item_id not in listed:
                listed.append(item_id)
            if edit in ("unblock", "withdraw") and item_id in listed:
                listed.remove(item_id)
        edit_review(path, edit, ids)
    review = Review.read(path)
    assert list(review.blocked) == blocked
    assert list(review.approval.approved) == approved


def test_an_edit_keeps_comments_and_everything_else(tmp_path: Path):
    path = tmp_path / "review.yaml"
    path.write_text("# by hand\nblocked: ['007']  # recalled\nblocked_categories: [wine]\n")
    edit_review(path, "block", ["i1"])
    edit_review(path, "approve", ["i2"])
    text = path.read_text()
    assert "# by hand" in text
    assert "# recalled" in text
    assert Review.read(path) == Review(
        blocked=("007", "i1"), blocked_categories=("wine",), approval={"approved": ("i2",)}
    )


def test_editors_at_the_same_time_lose_nothing(tmp_path: Path):
    path, ids = tmp_path / "review.yaml", [f"i{number}" for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda item_id: edit_review(path, "block", [item_id]), ids))
    assert sorted(Review.read(path).blocked) == sorted(ids)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("blocked: [7]", "an id is text; write '7' in quotes"),
        ("blocked: i1", "blocked:"),
        ("blokced: [i1]", "blokced: unknown key; did you mean 'blocked'?"),
        ("approval: {required_for: 'price <'}", "approval.required_for:"),
        ("[i1]", "holds list, wanted keys with values"),
        ("blocked: [", "is not YAML"),
        ("blocked: [a]\nblocked: [b]", "is not YAML"),
    ],
)
def test_refuses_a_file_and_its_edits(tmp_path: Path, text: str, message: str):
    path = tmp_path / "review.yaml"
    path.write_text(text)
    for ask in (Review.read, lambda path: edit_review(path, "block", ["i1"])):
        with pytest.raises(SettingsError) as caught:
            ask(path)
        assert str(caught.value).startswith(str(path))
        assert message in str(caught.value)
    assert path.read_text() == text


def test_refuses_an_id_that_is_none(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"blocked\.0"):
        edit_review(tmp_path / "review.yaml", "block", [""])
    assert not (tmp_path / "review.yaml").exists()


def test_check_names_an_unknown_column():
    with pytest.raises(SettingsError, match="did you mean 'price'"):
        Review(approval={"required_for": "prize > 2"}).check(CATALOGUE)

"""What rows are that no column of events names, by files, ratings and flags; and rows whose event is empty."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base.errors import DataError
from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.files import read_files
from tierrec_core.sources.schema_inference import propose_settings

NUM_ROWS = 400


@pytest.fixture(scope="module")
def log():
    """Users, items and times of a log that says nothing else."""
    rng = np.random.default_rng(6)
    times = pd.Timestamp("2024-01-05") + pd.to_timedelta(np.arange(NUM_ROWS), unit="h")
    return pd.DataFrame({"user": rng.integers(0, 40, NUM_ROWS), "item": rng.integers(0, 25, NUM_ROWS), "time": times})


def proposed(folder, overrides=None, **files):
    """What is proposed for the files, by their names, and the number of rows of each event that is read."""
    for name, frame in files.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    proposal = propose_settings([folder / f"{name}.csv" for name in files], overrides or {})
    events = read_files(parse(FilesSource, proposal.patch["source"], "tests"), folder).events
    return proposal, events["event"].value_counts(dropna=False).to_dict()


def shown(proposal, place):
    return next(guess for guess in proposal.guesses if guess.place == place)


NAMES = {
    "train-item-views": "view",
    "clicks": "click",
    "yoochoose-buys": "purchase",
    "product_views": "view",
    "add_to_cart": "cart",
    "market_basket": "purchase",
    "wishlist_items": "favourite",
    "ps_order_detail": "purchase",
    "Bestellungen": "purchase",
    "sample_removed_dups": "purchase",
    "views_removed_bots": "view",
    "cleaned_returns_removed": "purchase",
    "clicks_no_refunds": "click",
    "cancelled_orders_removed": "purchase",
}


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_file_says_what_its_rows_are(name, log, tmp_path):
    proposal, counts = proposed(tmp_path, **{name: log})
    assert counts == {NAMES[name]: NUM_ROWS}
    guess = shown(proposal, "default_event")
    assert (guess.value, guess.override) == (NAMES[name], "--default-event")


def test_files_of_several_events_keep_each_its_own(log, tmp_path):
    proposal, counts = proposed(tmp_path, **{"item-views": log, "purchases": log[:100]})
    assert counts == {"view": NUM_ROWS, "purchase": 100}
    assert shown(proposal, "file_events *purchases*").value == "purchase"
    assert proposal.patch["split"]["target"] == ["purchase"]
    _, counts = proposed(tmp_path, {"default_event": "click"}, **{"item-views": log, "purchases": log[:100]})
    assert counts == {"click": NUM_ROWS + 100}


def test_the_column_of_times_says_it_where_the_file_does_not(log, tmp_path):
    _, counts = proposed(tmp_path, log=log.rename(columns={"time": "viewed_at"}))
    assert counts == {"view": NUM_ROWS}


def test_the_columns_of_ids_say_it_where_the_file_does_not(log, tmp_path):
    _, counts = proposed(tmp_path, log=log.assign(impression_id=range(NUM_ROWS)))
    assert counts == {"impression": NUM_ROWS}
    _, counts = proposed(tmp_path, log=log.assign(basket_id=np.arange(NUM_ROWS) // 2, search_id="s", coupon_code="c"))
    assert counts == {"purchase": NUM_ROWS}


def test_names_that_contradict_are_asked_about(log, tmp_path):
    with pytest.raises(
        DataError, match=r"'order' is in .*, but 'clicks' is in the name clicks.csv.*\n.*--default-event"
    ):
        proposed(tmp_path, clicks=log.rename(columns={"time": "order_date"}))
    with pytest.raises(DataError, match=r"'refunds' is in the name refunds.csv"):
        proposed(tmp_path, refunds=log)


@pytest.mark.parametrize("name", ["removed_from_cart", "deleted_orders", "returned_orders"])
def test_names_of_what_was_taken_back_are_asked_about(name, log, tmp_path):
    with pytest.raises(DataError, match=rf"is in the name {name}.csv"):
        proposed(tmp_path, **{name: log})


def test_a_vague_word_of_a_file_does_not_outweigh_what_orders_have(log, tmp_path):
    _, counts = proposed(tmp_path, show_tickets=log.assign(quantity=1, price=2.5))
    assert counts == {"purchase": NUM_ROWS}


def test_a_file_of_returns_beside_one_of_orders_takes_purchases_back(log, tmp_path):
    proposal, counts = proposed(tmp_path, **{"2024-01-refunds": log[:40], "orders": log})
    assert counts == {"purchase": NUM_ROWS + 40}
    assert proposal.patch["source"]["file_events"] == {"*refunds*": "return"}


PATTERNS = {
    "shop.views-2024": "*views*",
    "shop.orders-2024": "*orders*",
    "order_1": "*order_[0-9]*",
    "order_ratings_1": "*ratings*",
    "view": "view*",
    "review": "*review*",
}


@pytest.mark.parametrize(("first", "second"), list(pairwise(PATTERNS))[::2])
def test_later_files_of_a_kind_are_known_by_a_pattern(first, second, log, tmp_path):
    frames = {first: log, second: log[:100].assign(**{"rating": 3} if second in ("review", "order_ratings_1") else {})}
    for names in ((first, second), (second, first)):
        proposal, _ = proposed(tmp_path, **{name: frames[name] for name in names})
        assert list(proposal.patch["source"]["file_events"]) == [PATTERNS[names[1]]]
        assert not any("no pattern" in line for line in proposal.warnings)


def test_a_file_that_no_pattern_tells_from_others_is_warned_of(log, tmp_path):
    proposal, counts = proposed(tmp_path, **{"1": log, "2": log[:100].rename(columns={"time": "viewed_at"})})
    assert counts == {"purchase": NUM_ROWS, "view": 100}
    assert any("2.csv: no pattern of its name tells it" in line for line in proposal.warnings)


def test_a_folder_says_it_where_the_name_of_the_file_does_not(log, tmp_path):
    for folder in ("clicks", "orders"):
        (tmp_path / folder).mkdir()
        log.to_csv(tmp_path / folder / "2024.csv", index=False)
    proposal = propose_settings([tmp_path / "orders", tmp_path / "clicks"], {})
    assert proposal.patch["source"]["file_events"] == {"clicks/*": "click"}


def test_a_log_that_says_nothing_shows_that_purchases_are_assumed(log, tmp_path):
    proposal, counts = proposed(tmp_path, log=log)
    assert counts == {"purchase": NUM_ROWS}
    assert "nothing says what the rows are" in shown(proposal, "default_event").evidence


@pytest.mark.parametrize("name", ["event_name", "action", "event_type"])
def test_a_column_that_is_called_as_events_are_need_not_be_one(name, log, tmp_path):
    venues = log.assign(**{name: np.resize(["Summer Night", "Jazz in the Park", "Opera"], NUM_ROWS)})
    with pytest.raises(DataError):
        proposed(tmp_path, log=venues)
    proposal, counts = proposed(tmp_path, {"event_column": "", "default_event": "purchase"}, log=venues)
    assert counts == {"purchase": NUM_ROWS}
    assert "event" not in proposal.patch["source"]["columns"]


def test_ratings_are_no_purchases_and_zeros_are_told(log, tmp_path):
    rated = log.assign(**{"Book-Rating": np.resize([0, 3, 10, 0], NUM_ROWS)})
    proposal, counts = proposed(tmp_path, log=rated)
    assert counts == {"rating": NUM_ROWS}
    assert shown(proposal, "default_event").evidence.endswith("Book-Rating has ratings of 0 to 10")
    assert any("50% of the rows have 0 in Book-Rating" in line for line in proposal.warnings)
    _, counts = proposed(tmp_path, {"exclude": {"Book-Rating": ["0"]}}, log=rated)
    assert counts == {"rating": NUM_ROWS // 2}


def test_the_average_rating_of_an_item_is_no_rating_of_a_user(log, tmp_path):
    proposal, counts = proposed(tmp_path, log=log.assign(rating=log["item"] % 5 + 1, price=9.5))
    assert counts == {"purchase": NUM_ROWS}
    assert proposal.patch["source"]["columns"]["value"] == "price"


FLAGS = {
    "flags": {"viewed": [1, 1, 1], "added_to_cart": [1, 0, 1], "bought": [0, 0, 1]},
    "counts": {"impressions": [4, 1, 2, 1], "clicks": [1, 0, 0], "num_purchases": [0, 1, 0, 0, 0]},
    "two truth values": {"clicked": [1, 1, 0], "bought": [1, 0, 0]},
}


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_flags_of_events_are_asked_for(flags, log, tmp_path):
    flagged = log.assign(**{name: np.resize(values, NUM_ROWS) for name, values in flags.items()})
    with pytest.raises(DataError, match=f"{', '.join(flags)} say what happened.*\n.*--default-event"):
        proposed(tmp_path, log=flagged)
    _, counts = proposed(tmp_path, {"default_event": "view"}, log=flagged)
    assert counts == {"view": NUM_ROWS}


ONE_FLAG = {
    "is_sale": (["1", "0", "0"], "view"),
    "is_purchased": ([True, False, False], "view"),
    "gekauft": (["ja", "nein", "nein"], "view"),
    "converted": (["Y", None, None], "view"),
    "is_booking": ([1.0, 0.0, 0.0], "view"),
    "clicked": (["yes", "no", "no"], "impression"),
}


@pytest.mark.parametrize("name", ONE_FLAG)
def test_one_column_of_yes_and_no_tells_events_from_what_precedes_them(name, log, tmp_path):
    values, without = ONE_FLAG[name]
    flagged = log.assign(**{name: np.resize(values, NUM_ROWS)})
    is_set = (NUM_ROWS + 2) // 3
    event = "click" if name == "clicked" else "purchase"
    proposal, counts = proposed(tmp_path, log=flagged)
    assert counts == {event: is_set, without: NUM_ROWS - is_set}
    assert shown(proposal, "event").override == "--event-column"
    stem = "impressions" if name == "clicked" else "clicks"
    _, counts = proposed(tmp_path, **{stem: flagged})
    assert counts == {event: is_set, stem.removesuffix("s"): NUM_ROWS - is_set}
    _, counts = proposed(tmp_path, {"default_event": "purchase"}, log=flagged)
    assert counts == {"purchase": NUM_ROWS}


def test_a_flag_of_lines_of_orders_is_asked_for_with_the_answer(log, tmp_path):
    lines = log.assign(order_id=np.arange(NUM_ROWS) // 2, quantity=1, is_sale=np.resize([0, 1, 0], NUM_ROWS))
    with pytest.raises(
        DataError, match=r"--event-column is_sale --event 0=view --event 1=purchase, or .*--default-event"
    ):
        proposed(tmp_path, log=lines.drop(columns="order_id"))
    assert proposed(tmp_path, log=lines)[1] == {"purchase": NUM_ROWS}
    answer = {"event_column": "is_sale", "events": {"0": "view", "1": "purchase"}}
    _, counts = proposed(tmp_path, answer, log=lines)
    assert counts == {"view": 267, "purchase": 133}
    is_sale = lines["is_sale"] > 0
    bought = lines.assign(**{name: lines[name].where(is_sale) for name in ("order_id", "quantity")})
    _, counts = proposed(tmp_path, log=bought)
    assert counts == {"view": 267, "purchase": 133}


@pytest.mark.parametrize("flag", ["is_sale", "clicked", "sales_count"])
def test_orders_have_flags_as_attributes(flag, log, tmp_path):
    flagged = log.assign(**{flag: np.resize([0, 1, 0], NUM_ROWS)})
    assert proposed(tmp_path, orders_2024=flagged)[1] == {"purchase": NUM_ROWS}
    assert proposed(tmp_path, log=flagged.rename(columns={"time": "purchase_date"}))[1] == {"purchase": NUM_ROWS}
    lines = flagged.assign(order_id=np.arange(NUM_ROWS) // 2, quantity=1)
    assert proposed(tmp_path, data=lines)[1] == {"purchase": NUM_ROWS}


@pytest.mark.parametrize("name", ["click_and_collect_2024", "customer_items_view", "coupon_2024"])
def test_a_file_of_orders_that_is_called_as_other_events_is_asked_about(name, log, tmp_path):
    lines = log.assign(order_id=np.arange(NUM_ROWS) // 2, quantity=1, unit_price=2.5)
    with pytest.raises(DataError, match=rf"name {name}.csv, but order_id, .* of orders.*\n.*--default-event purchase"):
        proposed(tmp_path, **{name: lines})
    assert proposed(tmp_path, {"default_event": "purchase"}, **{name: lines})[1] == {"purchase": NUM_ROWS}


RETURN_FILES = ["avoirs", "stornos_2024", "resi", "devoluciones", "credit_notes", "Rücksendungen", "возвраты"]


@pytest.mark.parametrize("name", RETURN_FILES)
def test_files_of_returns_in_many_languages(name, log, tmp_path):
    proposal, _ = proposed(tmp_path, orders=log, **{name: log[:40]})
    assert list(proposal.patch["source"]["file_events"].values()) == ["return"]


def test_a_folder_of_returns_is_one(log, tmp_path):
    for folder in ("orders", "returns"):
        (tmp_path / folder).mkdir()
        log.to_csv(tmp_path / folder / "2024.csv", index=False)
    proposal = propose_settings([tmp_path / "orders", tmp_path / "returns"], {})
    assert proposal.patch["source"]["file_events"] == {"returns/*": "return"}


@pytest.mark.parametrize("values", [[1, 0, 0], ["ja", "nein", "nein"]])
def test_labels_of_data_sets_are_asked_for_with_the_answer(values, log, tmp_path):
    labelled = log.assign(label=np.resize(values, NUM_ROWS))
    yes, no = map(str, values[:2])
    with pytest.raises(DataError, match=f"--event-column label --event {yes}=purchase --event {no}=view, or "):
        proposed(tmp_path, log=labelled)
    _, counts = proposed(tmp_path, {"event_column": "label", "events": {yes: "purchase", no: "view"}}, log=labelled)
    assert counts == {"purchase": 134, "view": 266}
    _, counts = proposed(tmp_path, clicks=labelled)
    assert counts == {"click": NUM_ROWS}


@pytest.mark.parametrize("name", ["verified_purchase", "paid", "order_position", "page views of item"])
def test_other_marks_are_no_flags_of_events(name, log, tmp_path):
    values = log["item"] % 3 if "of item" in name else np.resize([0, 1], NUM_ROWS)
    _, counts = proposed(tmp_path, log=log.assign(**{name: values}))
    assert counts == {"purchase": NUM_ROWS}


def test_rows_with_an_empty_event_are_asked_for(log, tmp_path):
    sparse = log.assign(se_action=np.resize(["view", "add_to_basket", None, None], NUM_ROWS))
    with pytest.raises(DataError, match=r"\(empty\) \(200 rows\)\n.*--event =ignore"):
        proposed(tmp_path, log=sparse)
    proposal, counts = proposed(tmp_path, {"events": {"": "ignore"}}, log=sparse)
    assert counts == {"view": 100, "cart": 100}
    guess = shown(proposal, "event (empty)")
    assert (guess.value, guess.override) == ("ignore", "--event =NAME")
    _, counts = proposed(tmp_path, {"events": {"": "impression"}}, log=sparse)
    assert counts == {"view": 100, "cart": 100, "impression": 200}


def test_a_full_column_of_events_goes_before_a_sparse_one(log, tmp_path):
    kinds = np.resize(["view", "purchase"], NUM_ROWS)
    sparse = log.assign(event_action=np.where(np.arange(NUM_ROWS) % 3, None, "view"), event_kind=kinds)
    assert proposed(tmp_path, log=sparse)[0].patch["source"]["columns"]["event"] == "event_kind"


def test_events_without_any_item_are_told(log, tmp_path):
    kinds = np.resize(["view", "purchase"], NUM_ROWS)
    proposal, _ = proposed(tmp_path, log=log.assign(event=kinds, item=log["item"].where(kinds == "purchase")))
    assert any("item is empty in all rows of view" in line for line in proposal.warnings)


def test_a_word_that_the_names_of_several_files_have_tells_each_from_the_others(log, tmp_path):
    rated = log.assign(rating=np.arange(NUM_ROWS) % 5 + 1)
    _, counts = proposed(tmp_path, orders=log[:50], view=log[:100], review=rated)
    assert counts == {"purchase": 50, "view": 100, "rating": NUM_ROWS}


@pytest.mark.parametrize("name", ["visit_id", "show_id", "last_seen_id"])
def test_columns_of_ids_do_not_outweigh_what_orders_have(name, log, tmp_path):
    _, counts = proposed(tmp_path, data=log.assign(**{name: np.arange(NUM_ROWS)}, quantity=1, price=2.5))
    assert counts == {"purchase": NUM_ROWS}


def test_the_item_is_no_evidence_of_what_happened_to_it(log, tmp_path):
    _, counts = proposed(tmp_path, data=log.rename(columns={"item": "show_id"}))
    assert counts == {"purchase": NUM_ROWS}


@pytest.mark.parametrize("name", ["watch_seconds", "played_ms", "listened_minutes"])
def test_rows_with_how_long_something_was_played_are_views(name, log, tmp_path):
    proposal, counts = proposed(tmp_path, log=log.assign(**{name: np.arange(NUM_ROWS) * 7 + 30}))
    assert counts == {"view": NUM_ROWS}
    assert f"is in the name {name}" in shown(proposal, "default_event").evidence

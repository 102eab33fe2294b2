"""What becomes of each event of a batch whose keys are new, stored, or stored with another event."""

from tests.support.open_shops import Caller, Opener, event

pytest_plugins = ["tests.support.open_shops"]

FIRST, OTHER = event(1, "u59", "i15", "cart"), event(1, "u59", "i16", "cart")


def stored_items(caller: Caller) -> dict[str, str]:
    return {one.key: one.item_id for one in caller.shop.store.events_after(0, 100)}


def test_a_key_with_another_event_is_refused_and_the_first_is_kept(start: Opener) -> None:
    caller = start()
    assert caller.post_events(FIRST) == {"accepted": 1, "duplicates": 0}
    assert caller.post_events(FIRST) == {"accepted": 0, "duplicates": 1}
    answer = caller.send("POST", "/events", json={"events": [OTHER]})
    assert answer.status_code == 409
    assert "stored with another event" in answer.json()["error"]
    (conflict,) = answer.json()["detail"]
    assert (conflict["index"], conflict["key"], conflict["status"]) == (0, "u59-1", 409)
    assert stored_items(caller) == {"u59-1": "i15"}
    assert caller.metric("tierrec_events_total", event="cart", status="rejected") == 1


def test_one_conflict_does_not_hide_what_became_of_the_others(start: Opener) -> None:
    caller = start()
    caller.post_events(FIRST)
    new = [event(number, "u59", "i17") for number in (2, 3)]
    answer = caller.post_events(new[0], OTHER, FIRST, event(2, "u58", "i17") | {"key": "u59-2"}, new[1])
    assert (answer["accepted"], answer["duplicates"]) == (2, 1)
    assert [(one["index"], one["key"], one["status"]) for one in answer["errors"]] == [
        (1, "u59-1", 409),
        (3, "u59-2", 409),
    ]
    assert stored_items(caller) == {"u59-1": "i15", "u59-2": "i17", "u59-3": "i17"}
    counts = {status: caller.metric("tierrec_events_total", status=status) for status in ("accepted", "duplicate")}
    assert counts == {"accepted": 3, "duplicate": 1}


def test_a_wrong_field_refuses_the_whole_batch_and_every_such_event_is_named(start: Opener) -> None:
    caller = start()
    batch = [event(1, "u59", "i15"), event(2, "", "i15"), event(3, "u59", "i15", "no such event")]
    answer = caller.send("POST", "/events", json={"events": batch})
    assert answer.status_code == 400
    assert [problem["loc"][:3] for problem in answer.json()["detail"]] == [["body", "events", 1], ["body", "events", 2]]
    assert stored_items(caller) == {}


def test_the_document_shows_both_answers(start: Opener) -> None:
    responses = start().told("GET", "/docs.json")["paths"]["/events"]["post"]["responses"]
    example = responses["200"]["content"]["application/json"]["example"]
    assert example["errors"] == responses["409"]["content"]["application/json"]["example"]["detail"]

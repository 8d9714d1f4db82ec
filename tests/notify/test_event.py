"""An event is the same whenever the same thing is settled, and small enough for every receiver."""

import json
from datetime import timedelta
from uuid import UUID

import pytest

from image_upload.limits import EVENT_MAX_BYTES, S3_KEY_MAX_BYTES, SUBJECT_MAX_CHARS
from image_upload.notify.event import TYPES, Event, StoredFacts
from tests.notify.receiver import NOW, event
from tests.test_docs import code_in, table


def test_an_event_settled_again_later_has_the_same_id() -> None:
    first = Event.about("uploads/1.jpg", "upload.stored", NOW, size=5)
    again = Event.about("uploads/1.jpg", "upload.stored", NOW + timedelta(hours=1), size=5)
    assert first.id == again.id
    # Receivers keep ids: another rule would deliver everything anew after an update.
    assert first.id == UUID("83241649-5fe2-57ed-a177-8b69586c6621")


def test_another_type_key_or_occurrence_is_another_event() -> None:
    ids = {
        Event.about(key, kind, NOW, occurrence=occurrence).id
        for key in ("a", "b")
        for kind in ("upload.stored", "job.finished")
        for occurrence in ("", "1")
    }
    assert len(ids) == 8


def test_the_body_is_json_of_the_specification() -> None:
    sent = event(1, owner="user-1", width=None)
    assert json.loads(sent.body) == {
        "id": str(sent.id),
        "type": "upload.stored",
        "timestamp": "2026-11-20T12:00:00.000Z",
        "data": {"key": "uploads/1/고양이.jpg", "size": 5, "owner": "user-1"},
    }


def test_the_event_of_a_stored_object_says_what_the_page_says() -> None:
    facts = StoredFacts("k", "user-1", "upload", 5, "image/png", NOW, sha256="x" * 44, width=1, height=2)
    stored = Event.stored(facts, "a.b.c")
    assert (stored.id, stored.at) == (Event.about("k", "upload.stored", NOW).id, NOW)
    documented = {name for row in table("docs/webhooks.md", "Member of `data`") for name in code_in(row[0])}
    assert stored.data.keys() == documented - {"fault", "job_id", "task", "state", "result", "error"}
    assert Event.stored(facts._replace(owner=None, sha256=None, width=None, height=None)).data == {
        "key": "k",
        "purpose": "upload",
        "size": 5,
        "type": "image/png",
    }


def test_the_page_names_every_type() -> None:
    assert {code_in(row[0])[0] for row in table("docs/webhooks.md", "Event")} == set(TYPES)


@pytest.mark.parametrize("kind", TYPES)
def test_the_largest_upload_fits_into_an_event(kind: str) -> None:
    key, owner = '"' * S3_KEY_MAX_BYTES, "\\" * SUBJECT_MAX_CHARS
    about = Event.about(key, kind, NOW, owner=owner, purpose="p" * 64, size=2**53, type="t" * 255, receipt="r" * 8_000)  # type: ignore[arg-type]  # one of the types
    assert len(about.body.encode()) < EVENT_MAX_BYTES


def test_an_event_that_is_too_large_is_not_made() -> None:
    with pytest.raises(ValueError, match="20000 bytes"):
        event(receipt="가" * EVENT_MAX_BYTES)

from __future__ import annotations

from wayfare.fault_event import stripped

PASSENGER = "Ada Lovelace"
EVENT = {
    "event_id": "5f0c",
    "level": "error",
    "release": "shop@77aa",
    "logentry": {"message": PASSENGER},
    "extra": {"passenger": PASSENGER},
    "request": {"url": f"/api/bookings?passenger={PASSENGER}", "cookies": {"session": "5f"}},
    "user": {"ip_address": "192.0.2.7"},
    "breadcrumbs": {"values": [{"message": PASSENGER}]},
    "contexts": {"trace": {}},
    "exception": {
        "values": [
            {
                "type": "UniqueViolation",
                "value": f"DETAIL: Key (passenger)=({PASSENGER}) already exists",
                "mechanism": {"type": "logging", "handled": True},
                "stacktrace": {"frames": [{"function": "book"}]},
            }
        ]
    },
}


def test_what_users_have_typed_is_not_told() -> None:
    told = stripped(EVENT, {"request_id": "r-1", "pool": ""})
    assert told == {
        "event_id": "5f0c",
        "level": "error",
        "release": "shop@77aa",
        "exception": {
            "values": [
                {
                    "type": "UniqueViolation",
                    "mechanism": {"type": "logging", "handled": True},
                    "stacktrace": {"frames": [{"function": "book"}]},
                }
            ]
        },
        "tags": {"request_id": "r-1"},
    }


def test_a_line_without_a_traceback_is_no_event() -> None:
    assert stripped({"event_id": "5f0c", "logentry": {"message": PASSENGER}}, {}) is None

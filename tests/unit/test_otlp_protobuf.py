"""A request in Protocol Buffers' binary form, byte by byte as others write it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.slipway.compose.plugins.module_utils._core.logs.journal_lines import line
from ansible_collections.slipway.compose.plugins.module_utils._core.logs.otlp_logs import (
    body,
    rejected,
    request,
)
from ansible_collections.slipway.compose.plugins.module_utils._core.logs.otlp_protobuf import decoded
from journal_entries import LOGIN, entry

IDS = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}
SAID = {"level": "ERROR", "request_id": "3f2a", **IDS}
# The classes of opentelemetry-proto 1.45.2 write the same, and read the same in our JSON.
WRITTEN = """
0a83040a9c010a160a0c736572766963652e6e616d6512060a047375646f0a110a09686f73742e6e616d6512040a0268310a1f0a166465706c
6f796d656e742e656e7669726f6e6d656e7412050a036c61620a170a0d736c69707761792e737461636b12060a0473686f700a1b0a11736c69
707761792e636f6d706f6e656e7412060a047375646f0a180a0e736c69707761792e736f7572636512060a04686f737412e1020a090a07736c
697077617912d3020900863ba10100000010111a054552524f522a790a777b226c6576656c223a20224552524f52222c202272657175657374
5f6964223a202233663261222c202274726163655f6964223a20223061663736353139313663643433646438343438656232313163383033
313963222c20227370616e5f6964223a202262376164366237313639323033333331227d32140a0a726571756573745f696412060a04336632
6132210a0c73797374656d642e756e697412110a0f73657373696f6e2d332e73636f7065321b0a117379736c6f672e6964656e746966696572
12060a047375646f32210a0e6c6f672e7265636f72642e756964120f0a0d68312f35636131616231652d3732130a0d736c69707761792e6175
6469741202100132110a0b70726f636573732e7069641202184d4a100af7651916cd43dd8448eb211c80319c5208b7ad6b7169203331590086
3ba101000000
"""


def test_a_request_is_what_opentelemetrys_own_classes_write() -> None:
    asked = request([line(entry(7, json.dumps(SAID), **LOGIN), "h1")], "lab", "shop")
    assert body(asked, "protobuf").hex() == "".join(WRITTEN.split())


def test_half_a_character_is_no_text_to_anybody_else() -> None:
    asked = request([line(entry(7, '{"request_id": "\\ud800"}'), "h1")], "lab", "shop")
    assert b"\x0a\x0arequest_id\x12\x03\x0a\x01?" in body(asked, "protobuf")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("0a0c08ac021207746f6f206f6c64", (300, "too old")),
        ("", (0, "")),
        ("0a00", (0, "")),
        ("0a0c08ac02", (0, "")),  # half of it
        ("ffff", (0, "")),
        ("0803", (0, "")),
        ("0a090800", (0, "")),
        ("ff" * 12, (0, "")),
        ("7b7d", (0, "")),
        ("2a0568656c6c6f0a0208053d00000000", (5, "")),  # with fields that nobody knows
    ],
)
def test_what_a_receiver_has_left_out_is_read(answer: str, expected: tuple[int, str]) -> None:
    assert rejected(bytes.fromhex(answer), "protobuf") == expected


def test_a_field_that_ends_after_its_message_is_none() -> None:
    with pytest.raises(ValueError, match="ends after its message"):
        list(decoded(bytes.fromhex("0a05aa")))

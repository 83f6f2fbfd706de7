"""What programs of the hosts tell the monitoring in files."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.slipway.compose.plugins.module_utils._core import textfile

ABOUT = {"cups": "gauge Cups on the table.", "sips_total": "counter Sips so far."}


def test_each_metric_is_in_one_piece_with_its_type_and_what_it_is() -> None:
    samples = [("cups", 'room="a"', 2), ("sips_total", "", 7), ("cups", 'room="b"', 0.5)]
    assert textfile.text(samples, ABOUT) == (
        "# HELP cups Cups on the table.\n# TYPE cups gauge\n"
        'cups{room="a"} 2\ncups{room="b"} 0.5\n'
        "# HELP sips_total Sips so far.\n# TYPE sips_total counter\n"
        "sips_total 7\n"
    )


def test_a_file_is_replaced_in_one_go_and_anybody_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "tea.prom"
    textfile.write(file, "cups 1\n")
    with textfile.replacing(file) as stream:
        stream.write("cups 2\n")
        stream.flush()
        assert file.read_text() == "cups 1\n"
    assert file.read_text() == "cups 2\n"
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [file]

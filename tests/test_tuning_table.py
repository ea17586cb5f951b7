"""The table of what tuning chose: which rows it compares."""

from __future__ import annotations

from typing import Any

from benchmarks.tuning_table import tuning_section, tuning_sentence

COUNT = 100


def candidate(name: str, role: str, *, reject: bool = False, latency: float = 0.01) -> dict[str, Any]:
    return {
        "dataset": "trec", "asked": "chosen by", "name": name, "role": role, "reject": reject,
        "latency_p50_seconds": latency, "tuning_seconds": 30.0, **right(50),
    }  # fmt: skip


def judged(role: str, count: int, *, reject: bool = False) -> dict[str, Any]:
    return {"dataset": "trec", "asked": "other rows", "role": role, "reject": reject, **right(count)}


def right(count: int) -> dict[str, Any]:
    return {"n": COUNT, "accuracy": count / COUNT, "right_each": "1" * count + "0" * (COUNT - count)}


def found(*rows: dict[str, Any]) -> dict[str, Any]:
    config = {"model": "small", "pool_tokens": 1000, "rows": COUNT, "seed": 1}
    return {"config": config, "device": "a GPU", "dtype": "bfloat16", "versions": {"torch": "2"}, "rows": [*rows]}


def line(table: dict[str, Any]) -> list[str]:
    (told,) = [each for each in tuning_section(table) if each.startswith("| TREC ")]
    return [cell.strip() for cell in told.strip("|").split("|")]


def test_accuracies_are_of_rows_that_were_not_chosen_by() -> None:
    table = found(candidate("many rows", "chosen"), candidate("few", "default", latency=0.005), candidate("other", ""),
                  judged("chosen", 90), judged("preferred", 90), judged("default", 70))  # fmt: skip
    cells = line(table)
    assert (cells[1], cells[2][:5], cells[3][:5]) == ("many rows", "0.900", "0.700")
    assert (cells[5], cells[6], cells[7]) == ("10", "5", "30")
    assert "from 0.700 to 0.900" in tuning_sentence(table).replace("\n", " ")
    assert "90.0 % are answered right as chosen" in tuning_section(table)[-1].replace("\n", " ")


def test_a_reject_option_counts_where_it_was_chosen_and_the_default_is_shown_with_one_too() -> None:
    rows = (judged("chosen", 80), judged("chosen", 95, reject=True), judged("default", 70),
            judged("default", 85, reject=True))  # fmt: skip
    cells = line(found(candidate("with", "chosen", reject=True), candidate("few", "default"), *rows))
    assert cells[2].startswith("0.950")
    assert cells[3].startswith("0.700")
    assert cells[3].endswith("with one 0.850")
    cells = line(found(candidate("without", "chosen"), candidate("few", "default"), *rows))
    assert cells[2].startswith("0.800")
    assert "with one" not in cells[3]


def test_what_is_preferred_by_other_files_is_told_apart_from_what_was_chosen() -> None:
    rows = judged("chosen", 90), judged("preferred", 90), judged("default", 70)
    stayed = tuning_section(found(candidate("many", "chosen"), candidate("few", "default"), *rows))[-1]
    moved = found(candidate("many", "chosen"), candidate("votes", "preferred"), candidate("few", "default"), *rows)
    assert "stayed on 1 of 1" in stayed.replace("\n", " ")
    assert "stayed on 0 of 1" in tuning_section(moved)[-1].replace("\n", " ")


def test_where_the_default_was_chosen_it_is_both() -> None:
    cells = line(found(candidate("as it is", "chosen"), judged("chosen", 90), judged("default", 90)))
    assert cells[5] == cells[6] == "10"
    assert cells[4] == "1"

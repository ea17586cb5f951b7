"""The command tune.

Knows nothing about how settings are chosen.
"""

from __future__ import annotations

import argparse

from dbsa_core.cli.beginning import out_of_scope_of, set_up
from dbsa_core.cli.files import read_data
from dbsa_core.cli.options import Choices, check_out
from dbsa_core.cli.output import Console
from dbsa_core.tuning import Tuned, tune


def tune_command(args: argparse.Namespace, chosen: Choices, console: Console) -> None:
    """Choose settings for a labelled file, show what was tried, and write them."""
    check_out(args, args.data, kind="json")
    data = read_data(args, console)
    out_of_scope = out_of_scope_of(args, chosen, data, console)
    setup = set_up(args, chosen, data, console)

    found = tune(
        setup,
        chosen.query,
        rows=args.rows,
        budget_seconds=args.budget,
        out_of_scope=out_of_scope,
        seed=chosen.query.seed,
        on_progress=console.counted,
        on_encoding=console.encoding,
    )
    for note in found.notes:
        console.say(note)
    if args.out:
        found.settings.write(args.out)
    if args.json:
        console.json(found.settings.as_json())
    else:
        tried = table_of(found) if found.rows else []
        console.result("\n".join([*tried, found.sentence, *_on_rejecting(found)]))
    if args.out:
        console.say(f"The settings are {args.out}; --settings of classify, evaluate and encode takes them.")


def _on_rejecting(found: Tuned) -> list[str]:
    label = found.settings.out_of_scope
    if label is None:
        return []
    helps = "is" if found.settings.reject else "is not"
    return [f'A reject option, which may answer "{label}", {helps} better than none beyond chance: it {helps} chosen.']


def table_of(found: Tuned) -> list[str]:
    """Lines: the fastest first, then what was asked about fewer rows, then classifiers alone. Each with its accuracy
    and interval of 95 %, the median seconds of a query, and what it is."""
    width = max(len(each.name) for each in found.candidates)
    lines = [f"{'':<{width}} {'accuracy':>24} {'n':>6} {'p50 s':>8}"]
    optimal = set(found.frontier)
    order = sorted(range(len(found.candidates)), key=lambda at: _order(found, at))
    for at in order:
        each, p = found.candidates[at], found.p_values[at]
        told = found.roles(at)
        told += ["frontier"] if at in optimal else []
        told += ["asked no further"] if not each.complete else []
        told += [f"p = {p:.2g}"] if p is not None and p < 1 else []
        seconds = "-" if each.latency is None else f"{each.latency:.3f}"
        lines.append(
            f"{each.name:<{width}} {each.accuracy!s:>24} {len(each.right):>6,} {seconds:>8}  {', '.join(told)}".rstrip()
        )
    return lines


def _order(found: Tuned, at: int) -> tuple[bool, bool, float]:
    each = found.candidates[at]
    return each.settings is None, not each.complete, each.latency or 0.0

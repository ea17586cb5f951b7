"""The command label-issues.

Knows nothing about how labels are disputed.
"""

from __future__ import annotations

import argparse

from dbsa_core.cli.beginning import set_up
from dbsa_core.cli.files import read_data
from dbsa_core.cli.options import Choices, check_out
from dbsa_core.cli.output import Console, CsvTable
from dbsa_core.label_issues import ISSUE_COLUMNS, LabelIssue, find_label_issues


def label_issues_command(args: argparse.Namespace, chosen: Choices, console: Console) -> None:
    """List rows whose label may be wrong."""
    check_out(args, args.data)
    setup = set_up(args, chosen, read_data(args, console), console)
    table = CsvTable(ISSUE_COLUMNS, console, out=args.out, printed=not args.json, safe=args.spreadsheet_safe)

    def show(issue: LabelIssue) -> None:
        table.add([str(value) for value in issue.as_json().values()])
        if args.json:
            console.json(issue.as_json())

    found = find_label_issues(
        setup,
        chosen.query,
        rows=args.rows,
        seed=chosen.query.seed,
        on_progress=console.counted,
        on_found=show,
    )
    console.say(found.sentence)
    if args.out:
        console.say(f"The list is {args.out}.")

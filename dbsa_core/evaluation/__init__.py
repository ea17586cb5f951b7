"""Accuracy and cost of methods on labelled test rows: measured, kept in a folder, and reported.

Knows nothing about how a method works.
"""

from dbsa_core.evaluation.folder import RUN, read_run
from dbsa_core.evaluation.measures import Comparison, Estimate
from dbsa_core.evaluation.report import report_markdown, write_report
from dbsa_core.evaluation.result import Evaluation, beaten_by_word_counts, comparisons, may_refuse, without_option
from dbsa_core.evaluation.running import SAMPLE, EvaluationStopped, evaluate, settings_of, timed_of

__all__ = [
    "RUN",
    "SAMPLE",
    "Comparison",
    "Estimate",
    "Evaluation",
    "EvaluationStopped",
    "beaten_by_word_counts",
    "comparisons",
    "evaluate",
    "may_refuse",
    "read_run",
    "report_markdown",
    "settings_of",
    "timed_of",
    "without_option",
    "write_report",
]

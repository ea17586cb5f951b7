"""The reject option: whether any label fits a text at all, decided beside every answer of a method.

Knows nothing about any one method. A logistic regression of four signs that an answer shows is fitted on rows of the
labelled file that the method does not read, and so is its threshold (Chow 1970, "On optimum recognition error and
reject tradeoff"; for the signs of a classifier, Hendrycks and Gimpel 2017, arXiv 1610.02136).
"""

from dbsa_core.reject.fitting import (
    LEAST,
    RejectOptions,
    Sample,
    draw_for_option,
    fit_reject_option,
    option_and_kept,
    option_of,
    sample_of,
)
from dbsa_core.reject.method import Rejecting
from dbsa_core.reject.option import Point, RejectOption
from dbsa_core.reject.signs import SIGNS, signs_of

__all__ = [
    "LEAST",
    "SIGNS",
    "Point",
    "RejectOption",
    "RejectOptions",
    "Rejecting",
    "Sample",
    "draw_for_option",
    "fit_reject_option",
    "option_and_kept",
    "option_of",
    "sample_of",
    "signs_of",
]

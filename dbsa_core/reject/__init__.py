"""The reject option: whether any label fits a text at all, decided beside every answer of a method.

Knows nothing about any one method. A logistic regression of four signs that an answer shows is fitted on rows of the
labelled file that the method does not read, and so is its threshold (Chow 1970, "On optimum recognition error and
reject tradeoff"; for the signs of a classifier, Hendrycks and Gimpel 2017, arXiv 1610.02136).
"""

from dbsa_core.reject.fitting import RejectOptions, draw_for_option, fit_reject_option
from dbsa_core.reject.method import Rejecting
from dbsa_core.reject.option import Point, RejectOption
from dbsa_core.reject.signs import SIGNS, signs_of

__all__ = [
    "SIGNS",
    "Point",
    "RejectOption",
    "RejectOptions",
    "Rejecting",
    "draw_for_option",
    "fit_reject_option",
    "signs_of",
]

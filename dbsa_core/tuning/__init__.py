"""Settings for a labelled file, chosen by what they bring on rows of it that no method reads.

Knows nothing about files of other kinds than its own, nor about screens. Rows of a test file never come here: a setup
holds none.
"""

from dbsa_core.tuning.choice import Candidate
from dbsa_core.tuning.readings import described
from dbsa_core.tuning.running import BUDGET_SECONDS, OnTrial, tune
from dbsa_core.tuning.settings_file import METHOD, TunedSettings, read_settings
from dbsa_core.tuning.tuned import LEAST_ROWS, Tuned

__all__ = [
    "BUDGET_SECONDS",
    "LEAST_ROWS",
    "METHOD",
    "Candidate",
    "OnTrial",
    "Tuned",
    "TunedSettings",
    "described",
    "read_settings",
    "tune",
]

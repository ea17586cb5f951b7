"""The one exception tree of the package.

Every message is a sentence that says what was given, what is accepted and what to do; it is meant to be shown to a
user.
"""


class DBSAError(Exception):
    """Base of every error that this package raises on purpose. `str(error)` is fit for a user's eyes."""


class DataError(DBSAError):
    """A file, a column, a label or a row that cannot be used."""


class SettingsError(DBSAError):
    """A setting outside of what is accepted, or settings that do not fit each other."""


class ModelError(DBSAError):
    """A model that cannot be loaded, or whose family the capture of pre-RoPE keys gets wrong."""


class CapacityError(DBSAError):
    """Something that does not fit: the model's positions, or memory."""


class QueryError(DBSAError):
    """A query that cannot be classified (empty, or longer than what fits)."""


class Cancelled(DBSAError):
    """Work stopped at the user's wish; what was finished is kept."""

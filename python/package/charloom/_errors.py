"""What can go wrong. The words are those of the command."""


class CharloomError(Exception):
    """Every failure of charloom."""


class SettingError(CharloomError, ValueError):
    """A setting or an argument is wrong; the message names it, its limit and a way out."""


class DataError(CharloomError, ValueError):
    """A text cannot be used as data, or has a character that the model does not know."""


class ModelError(CharloomError):
    """A model file, run folder or configuration cannot be used."""


class FileError(CharloomError, OSError):
    """The operating system refused to read or write."""


class NotFittedError(CharloomError, ValueError, AttributeError):
    """The model was not fitted yet."""

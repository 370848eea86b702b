"""charloom: character-level language models.

>>> import charloom as cl
>>> names = cl.datasets.load("names")
>>> model = cl.MLP(hidden=64, steps=2_000).fit(names)
>>> model.sample(3)                                       # doctest: +SKIP
"""

from . import datasets, scalar
from ._base import CharModel
from ._charloom import __version__
from ._compare import classify, compare, mix
from ._errors import CharloomError, DataError, FileError, ModelError, NotFittedError, SettingError
from ._language import LanguageModel
from ._sweep import Sweep, sweep
from ._trained import Trained, Trainer, load
from .models import CLASSES, GRU, LSTM, MLP, RNN, BagOfWords, Linear, Ngram, Transformer, WaveNet, preset, sized

__all__ = [
    "BagOfWords", "CLASSES", "CharModel", "CharloomError", "DataError", "FileError", "GRU", "LSTM", "LanguageModel",
    "Linear", "MLP", "ModelError", "Ngram", "NotFittedError", "RNN", "SettingError", "Sweep", "Trained", "Trainer",
    "Transformer", "WaveNet", "__version__", "classify", "compare", "datasets", "load", "mix", "preset", "scalar", "sized",
    "sweep",
]

"""What a fitted model can do, however it came to be."""

from __future__ import annotations

import operator
import os

from . import _charloom, _html
from ._errors import FileError, NotFittedError, SettingError
from ._text import Texts, as_list, as_text, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator
    from typing import Any, Self

    import numpy as np

#: The seed of sampling, where none is given.
SEED = 2_147_483_647


class LanguageModel:
    """What a fitted model can do, however it came to be."""

    _model: _charloom.Model | None = None

    def _fitted(self) -> _charloom.Model:
        if self._model is None:
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit with some text first")
        return self._model

    @property
    def vocab_(self) -> list[str]:
        """Its characters, in the order of their numbers; of a model of words the first is the boundary."""
        return self._fitted().vocab

    @property
    def n_parameters_(self) -> int | None:
        """How many numbers it has learned; None of a model that counts."""
        return self._fitted().n_parameters

    @property
    def config_(self) -> dict[str, Any]:
        """Every setting, defaults made explicit."""
        import json

        return json.loads(self._fitted().config)

    def sample(
        self,
        n: int = 10,
        *,
        prefix: str = "",
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | None = SEED,
        min_length: int = 0,
        max_length: int = 500,
        novel: bool = False,
        unique: bool = False,
        pattern: str | re.Pattern[str] | None = None,
        stream: str = "words",
        return_log_probs: bool = False,
    ) -> Any:
        """New strings; with `return_log_probs` also the logarithm of each one's probability, in nats.

        The same seed gives the same strings, here and by the command; None is another one each time. `novel` leaves out
        strings of the training split, `unique` those that were sampled before, `pattern` (a regular expression) those that
        do not match it from beginning to end: what is left is drawn as the model would, given that. Where too few are found
        (4 million characters in a row do not match), there is a warning and a shorter list.
        `stream` "torch" draws as `torch.multinomial` does, "torch-cdf" as its `replacement=True` did before 2.0.
        """
        matches, n = None, count(n, "n")
        if pattern is not None:
            import re

            if not isinstance(getattr(pattern, "pattern", pattern), str):
                raise TypeError(f"pattern must be a regular expression of str, not {type(pattern).__name__}")
            try:
                matches = re.compile(pattern).fullmatch
            except re.error as error:
                raise SettingError(f"`pattern` {pattern!r}: {error}") from None
        texts, log_probs, tried = self._fitted().sample(
            n,
            _seed(seed),
            number(temperature, "temperature"),
            count(top_k, "top_k"),
            number(top_p, "top_p"),
            word(prefix, "prefix"),
            count(min_length, "min_length"),
            count(max_length, "max_length"),
            flag(novel, "novel"),
            flag(unique, "unique"),
            word(stream, "stream"),
            matches,
        )
        if len(texts) < n:
            import warnings

            given = {"novel": novel, "unique": unique, "pattern": pattern is not None}
            which = ", ".join(key for key, is_given in given.items() if is_given)
            way = "; does anything match it that the model writes, and the prefix?" if pattern is not None else ""
            message = f"only {len(texts)} of {n} strings were found: {which} left out the rest of {tried:,} that were drawn{way}"
            warnings.warn(message, stacklevel=2)
        return (texts, log_probs) if flag(return_log_probs, "return_log_probs") else texts

    def top(self, n: int = 10, *, prefix: str = "", max_length: int = 500, return_log_probs: bool = False) -> Any:
        """The `n` likeliest strings, exactly and in order; with `return_log_probs` also the logarithm of each one's probability."""
        texts, log_probs = self._fitted().top(count(n, "n"), word(prefix, "prefix"), count(max_length, "max_length"))
        return (texts, log_probs) if return_log_probs else texts

    def stream(self, prefix: str = "", *, temperature: float = 1.0, seed: int | None = SEED) -> Iterator[str]:
        """A text without end, character after character, after the prefix."""
        done, seed = len(word(prefix, "prefix")), _seed(seed)
        length = max(256, 2 * done)
        while True:
            text = self.sample(1, prefix=prefix, temperature=temperature, seed=seed, max_length=length)[0]
            yield from text[done:]
            if len(text) < length:
                return
            done, length = len(text), 2 * length

    def score_samples(self, X: Iterable[str]) -> np.ndarray:
        """The logarithm of each string's probability, in nats (with the boundary that ends a word); shape (n,).

        A string with a character that the model does not know has -inf.
        """
        return self._fitted().score(as_list(X))[0]

    def per_char(self, X: Iterable[str]) -> np.ndarray:
        """The mean loss of each string, in nats per character; shape (n,)."""
        return self._fitted().score(as_list(X))[1]

    def score(self, X: Texts, y: Any = None) -> float:
        """The mean log-likelihood of a character of `X`, in nats: the higher the better, as scikit-learn wants it."""
        return -self.evaluate(X)["loss"]

    def evaluate(
        self,
        X: Texts | None = None,
        *,
        split: str | None = None,
        adapt: float | None = None,
        adapt_segment: int | None = None,
        adapt_rule: str | None = None,
        adapt_decay: float | None = None,
        stride: int | None = None,
        unknown: str | None = None,
    ) -> dict[str, float]:
        """Loss (nats per character), bits_per_char, perplexity and examples of a text, or of a split of what it was fitted on.

        `split` is "test" (where nothing is said), "val" or "train"; of a run that was loaded its files are read again. With
        `adapt`, a learning rate, the model learns from what it has read after it was judged on it, and forgets it in the end:
        every `adapt_segment` (50) characters, by `adapt_rule` "plain" or "rms", forgetting the share `adapt_decay` (0) at each
        step. `stride` is how far a transformer's window moves on. Strings of `X` with a character that the model does not know
        are refused, or left out (`unknown="skip"`), or such a character is judged as likely as any of Unicode's ("floor").
        """
        if isinstance(X, str) and X in ("train", "val", "test"):
            raise SettingError(f"`X` {X!r} is a text to judge, not a split; a split is named, split={X!r}")
        how: dict[str, Any] = {}
        for check, given in (
            (word, {"split": split, "adapt_rule": adapt_rule, "unknown": unknown}),
            (number, {"adapt": adapt, "adapt_decay": adapt_decay}),
            (count, {"adapt_segment": adapt_segment, "stride": stride}),
        ):
            how |= {key: None if value is None else check(value, key) for key, value in given.items()}
        return _charloom.evaluate(self._fitted(), None if X is None else as_text(X)[0], how)

    def surprise(self, text: str) -> _html.Surprise:
        """Each character of a string and the logarithm of its probability, in nats; coloured in a notebook."""
        return _html.Surprise(self._fitted().surprise(word(text, "text")))

    def predict_proba(self, X: Iterable[str]) -> np.ndarray:
        """The probability of each next character (in the order of `vocab_`) after each beginning; shape (n, V)."""
        return self._fitted().predict_proba(as_list(X))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of its tensors, by PyTorch's names and in its shapes."""
        return self._fitted().state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> Self:
        """Takes up other numbers for its tensors: arrays or PyTorch's tensors, of the same names and shapes."""
        import numpy as np

        if not hasattr(state, "items"):
            raise TypeError(f"state must be a dict of names and arrays, not {type(state).__name__}")
        arrays = {}
        for name, tensor in state.items():
            array = np.asarray(_numpy(tensor))
            if array.dtype.kind not in "fiub":
                raise TypeError(f"the state's {name!r} must be an array of real numbers, not of {array.dtype}")
            # Rust reads numbers where they lie: in order, and aligned.
            arrays[str(name)] = np.require(array, np.float32, ["C", "A"])
        self._model = self._fitted().with_state(arrays)
        return self

    def from_torch(self, module: Any) -> Self:
        """Takes up the weights of a PyTorch module, or of its state dict."""
        state = module.state_dict() if hasattr(module, "state_dict") else module
        ours = self._fitted().state_dict()
        if not hasattr(state, "items"):
            raise TypeError(f"module must be a PyTorch module or its state dict, not {type(module).__name__}")
        # torch's count of batches decides nothing.
        wanted = {n: t for n, t in state.items() if n in ours or not n.endswith("num_batches_tracked")}
        return self.load_state_dict(wanted)

    def to_torch(self) -> Any:
        """A `torch.nn.Module` with the same weights, names and outputs: (B, T) places in `vocab_` to logits.

        Before a word stands 0, the boundary (as often as a window is long); before a text a line break.
        """
        from ._torch import to_torch

        return to_torch(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model as one file, which the command reads too."""
        write(path, self._fitted().to_bytes())

    def export(self, path: str | os.PathLike[str]) -> None:
        """Writes the model as an ONNX file: numbers of characters `x` (B, T) in, `logits` out, as of `to_torch`'s module.

        The characters are in the file's metadata, as `vocab`. Models that count and mixtures have no such form.
        """
        from ._onnx import to_onnx

        if os.path.splitext(path)[1] != ".onnx":
            raise SettingError(f"`path` {os.fspath(path)!r} does not end in .onnx; save() writes charloom's own file")
        write(path, to_onnx(self))


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file, whole or not at all."""
    path = os.fspath(path)
    part = f"{path}.{os.urandom(4).hex()}.part"
    try:
        with open(part, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        if os.path.exists(part):
            os.unlink(part)
        raise FileError(f"{path}: {error.strerror}") from None


def count(n: Any, what: str) -> int:
    """A whole number from 0 up: numpy's too, True not."""
    try:
        whole_number = None if isinstance(n, bool) else operator.index(n)
    except TypeError:
        whole_number = None
    if whole_number is None:
        raise TypeError(f"{what} must be a whole number, not {type(n).__name__}")
    if not 0 <= whole_number < 2**63:
        shown = whole_number if abs(whole_number) < 2**64 else f"of {whole_number.bit_length()} bits"
        raise SettingError(f"{what} {shown} is out of range; it must be from 0 to 2^63 - 1")
    return whole_number


def number(x: Any, what: str) -> float:
    """A number as Python has it: numpy's too, True not."""
    if not isinstance(x, (bool, str)) and hasattr(x, "__float__"):
        try:
            return float(x)
        except TypeError:
            pass
        except OverflowError:
            raise SettingError(f"{what} is out of range; it must be below 1.8e308") from None
    raise TypeError(f"{what} must be a number, not {type(x).__name__}")


def word(x: Any, what: str) -> str:
    if not isinstance(x, str):
        raise TypeError(f"{what} must be a str, not {type(x).__name__}")
    return whole(x, what)


def flag(x: Any, what: str) -> bool:
    """True or False: numpy's too, no other thing that is true."""
    if type(x).__name__ not in ("bool", "bool_"):
        raise TypeError(f"{what} must be True or False, not {type(x).__name__}")
    return bool(x)


def _seed(seed: int | None) -> int:
    """A seed, or another one each time."""
    return int.from_bytes(os.urandom(4), "little") if seed is None else count(seed, "seed")


def _numpy(tensor: Any) -> Any:
    if not hasattr(tensor, "detach"):
        return tensor
    tensor = tensor.detach().cpu()
    # numpy has none of these.
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()

# Made by make_stubs.py.
from typing import Any, ClassVar, TypedDict, Unpack

from ._base import CharModel
from ._text import Texts

class CountingKeywords(TypedDict, total=False):
    mode: Any  # None
    split: Any  # None
    split_seed: int  # 42
    shuffle: str  # 'python'
    dedupe: bool  # False
    normalize: Any  # None

class _Counting(CharModel):
    mode: Any  # None
    split: Any  # None
    split_seed: int  # 42
    shuffle: str  # 'python'
    dedupe: bool  # False
    normalize: Any  # None

class LearningKeywords(TypedDict, total=False):
    steps: int  # 200000
    batch: int  # 32
    optimizer: str  # 'sgd'
    lr: float  # 0.1
    schedule: str  # 'drops'
    lr_drops: Any  # ((0.5, 0.1),)
    lr_min: float  # 0.0
    lr_at: Any  # ()
    warmup: float  # 0.0
    warmup_steps: int  # 0
    decay: float  # 0.2
    weight_decay: float  # 0.0
    decay_on: str  # 'all'
    momentum: float  # 0.0
    nesterov: bool  # False
    alpha: float  # 0.99
    beta1: float  # 0.9
    beta2: float  # 0.999
    eps: float  # 1e-08
    clip: float  # 0.0
    clip_value: float  # 0.0
    accumulate: int  # 1
    ema: float  # 0.0
    freeze: Any  # ()
    generator: str  # 'separate'
    seed: int  # 2147483647
    patience: int  # 0
    seeds: int  # 1
    eval_every: Any  # None
    eval_size: Any  # None
    log_every: Any  # None
    feed: Any  # None
    init_from: Any  # None
    teacher: Any  # None
    teacher_weight: Any  # None
    teacher_temperature: Any  # None
    mode: Any  # None
    split: Any  # None
    split_seed: int  # 42
    shuffle: str  # 'python'
    dedupe: bool  # False
    normalize: Any  # None

class _Learning(CharModel):
    steps: int  # 200000
    batch: int  # 32
    optimizer: str  # 'sgd'
    lr: float  # 0.1
    schedule: str  # 'drops'
    lr_drops: Any  # ((0.5, 0.1),)
    lr_min: float  # 0.0
    lr_at: Any  # ()
    warmup: float  # 0.0
    warmup_steps: int  # 0
    decay: float  # 0.2
    weight_decay: float  # 0.0
    decay_on: str  # 'all'
    momentum: float  # 0.0
    nesterov: bool  # False
    alpha: float  # 0.99
    beta1: float  # 0.9
    beta2: float  # 0.999
    eps: float  # 1e-08
    clip: float  # 0.0
    clip_value: float  # 0.0
    accumulate: int  # 1
    ema: float  # 0.0
    freeze: Any  # ()
    generator: str  # 'separate'
    seed: int  # 2147483647
    patience: int  # 0
    seeds: int  # 1
    eval_every: Any  # None
    eval_size: Any  # None
    log_every: Any  # None
    feed: Any  # None
    init_from: Any  # None
    teacher: Any  # None
    teacher_weight: Any  # None
    teacher_temperature: Any  # None
    mode: Any  # None
    split: Any  # None
    split_seed: int  # 42
    shuffle: str  # 'python'
    dedupe: bool  # False
    normalize: Any  # None

class MLP(_Learning):
    kind: ClassVar[str]
    context: int
    embed: int
    hidden: Any
    activation: str
    norm: str
    dropout: float
    bias: bool
    init: str
    gain: Any
    output_scale: float
    def __init__(
        self,
        *,
        context: int = 3,
        embed: int = 6,
        hidden: Any = (200,),
        activation: str = 'tanh',
        norm: str = 'none',
        dropout: float = 0.0,
        bias: bool = False,
        init: str = 'kaiming-normal',
        gain: Any = None,
        output_scale: float = 0.1,
        **others: Unpack[LearningKeywords],
    ) -> None: ...

class Linear(_Learning):
    kind: ClassVar[str]
    context: int
    bias: bool
    init: str
    output_scale: float
    def __init__(
        self,
        *,
        context: int = 3,
        bias: bool = False,
        init: str = 'kaiming-normal',
        output_scale: float = 0.1,
        **others: Unpack[LearningKeywords],
    ) -> None: ...

class Ngram(_Counting):
    kind: ClassVar[str]
    order: int
    smoothing: str
    k: float
    def __init__(
        self,
        *,
        order: int = 5,
        smoothing: str = 'kneser-ney',
        k: float = 1.0,
        **others: Unpack[CountingKeywords],
    ) -> None: ...

class WaveNet(_Learning):
    kind: ClassVar[str]
    context: int
    embed: int
    hidden: int
    init: str
    gain: float
    output_scale: float
    def __init__(
        self,
        *,
        context: int = 8,
        embed: int = 24,
        hidden: int = 128,
        init: str = 'kaiming-normal',
        gain: float = 1.0,
        output_scale: float = 0.1,
        **others: Unpack[LearningKeywords],
    ) -> None: ...

class RNN(_Learning):
    kind: ClassVar[str]
    embed: int
    hidden: int
    layers: int
    context: Any
    dropout: float
    embed_dropout: float
    recurrent_dropout: float
    init: str
    def __init__(
        self,
        *,
        embed: int = 64,
        hidden: int = 128,
        layers: int = 1,
        context: Any = None,
        dropout: float = 0.0,
        embed_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        init: str = 'torch',
        **others: Unpack[LearningKeywords],
    ) -> None: ...

class GRU(_Learning):
    kind: ClassVar[str]
    embed: int
    hidden: int
    layers: int
    context: Any
    dropout: float
    embed_dropout: float
    recurrent_dropout: float
    init: str
    def __init__(
        self,
        *,
        embed: int = 64,
        hidden: int = 128,
        layers: int = 1,
        context: Any = None,
        dropout: float = 0.0,
        embed_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        init: str = 'torch',
        **others: Unpack[LearningKeywords],
    ) -> None: ...

class LSTM(_Learning):
    kind: ClassVar[str]
    embed: int
    hidden: int
    layers: int
    context: Any
    dropout: float
    embed_dropout: float
    recurrent_dropout: float
    init: str
    def __init__(
        self,
        *,
        embed: int = 64,
        hidden: int = 128,
        layers: int = 1,
        context: Any = None,
        dropout: float = 0.0,
        embed_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        init: str = 'torch',
        **others: Unpack[LearningKeywords],
    ) -> None: ...

class Transformer(_Learning):
    kind: ClassVar[str]
    context: Any
    stride: Any
    layers: int
    heads: int
    embed: int
    positions: str
    norm: str
    norm_weight: bool
    embed_norm: bool
    activation: str
    bias: bool
    tie: bool
    dropout: float
    embed_dropout: float
    attention_dropout: float
    init: str
    init_std: float
    def __init__(
        self,
        *,
        context: Any = None,
        stride: Any = None,
        layers: int = 4,
        heads: int = 4,
        embed: int = 64,
        positions: str = 'learned',
        norm: str = 'layer',
        norm_weight: bool = True,
        embed_norm: bool = False,
        activation: str = 'gelu',
        bias: bool = True,
        tie: bool = False,
        dropout: float = 0.0,
        embed_dropout: float = 0.0,
        attention_dropout: float = 0.0,
        init: str = 'gpt',
        init_std: float = 0.02,
        **others: Unpack[LearningKeywords],
    ) -> None: ...

class BagOfWords(_Learning):
    kind: ClassVar[str]
    context: Any
    stride: Any
    embed: int
    hidden: int
    activation: str
    init: str
    def __init__(
        self,
        *,
        context: Any = None,
        stride: Any = None,
        embed: int = 64,
        hidden: int = 64,
        activation: str = 'tanh',
        init: str = 'torch',
        **others: Unpack[LearningKeywords],
    ) -> None: ...

CLASSES: dict[str, type[CharModel]]

def preset(name: str, **params: Any) -> CharModel: ...
def sized(size: str, X: Texts, *, kind: str | None = None, val: Texts | None = None, **params: Any) -> CharModel: ...

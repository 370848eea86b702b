# Made by make_stubs.py.
from typing import Any

from ._base import CharModel

class MLP(CharModel):
    kind: str
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
    steps: int
    batch: int
    optimizer: str
    lr: float
    schedule: str
    lr_drops: Any
    warmup: float
    decay: float
    weight_decay: float
    momentum: float
    beta1: float
    beta2: float
    eps: float
    clip: float
    seed: int
    patience: int
    eval_every: Any
    log_every: Any
    mode: Any
    split: Any
    split_seed: int
    shuffle: str
    dedupe: bool
    normalize: Any
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
        steps: int = 200000,
        batch: int = 32,
        optimizer: str = 'sgd',
        lr: float = 0.1,
        schedule: str = 'drops',
        lr_drops: Any = ((0.5, 0.1),),
        warmup: float = 0.0,
        decay: float = 0.2,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-08,
        clip: float = 0.0,
        seed: int = 2147483647,
        patience: int = 0,
        eval_every: Any = None,
        log_every: Any = None,
        mode: Any = None,
        split: Any = None,
        split_seed: int = 42,
        shuffle: str = 'python',
        dedupe: bool = False,
        normalize: Any = None,
    ) -> None: ...

class Linear(CharModel):
    kind: str
    context: int
    bias: bool
    init: str
    output_scale: float
    steps: int
    batch: int
    optimizer: str
    lr: float
    schedule: str
    lr_drops: Any
    warmup: float
    decay: float
    weight_decay: float
    momentum: float
    beta1: float
    beta2: float
    eps: float
    clip: float
    seed: int
    patience: int
    eval_every: Any
    log_every: Any
    mode: Any
    split: Any
    split_seed: int
    shuffle: str
    dedupe: bool
    normalize: Any
    def __init__(
        self,
        *,
        context: int = 3,
        bias: bool = False,
        init: str = 'kaiming-normal',
        output_scale: float = 0.1,
        steps: int = 200000,
        batch: int = 32,
        optimizer: str = 'sgd',
        lr: float = 0.1,
        schedule: str = 'drops',
        lr_drops: Any = ((0.5, 0.1),),
        warmup: float = 0.0,
        decay: float = 0.2,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-08,
        clip: float = 0.0,
        seed: int = 2147483647,
        patience: int = 0,
        eval_every: Any = None,
        log_every: Any = None,
        mode: Any = None,
        split: Any = None,
        split_seed: int = 42,
        shuffle: str = 'python',
        dedupe: bool = False,
        normalize: Any = None,
    ) -> None: ...

class Ngram(CharModel):
    kind: str
    order: int
    smoothing: str
    k: float
    mode: Any
    split: Any
    split_seed: int
    shuffle: str
    dedupe: bool
    normalize: Any
    def __init__(
        self,
        *,
        order: int = 5,
        smoothing: str = 'kneser-ney',
        k: float = 1.0,
        mode: Any = None,
        split: Any = None,
        split_seed: int = 42,
        shuffle: str = 'python',
        dedupe: bool = False,
        normalize: Any = None,
    ) -> None: ...

class WaveNet(CharModel):
    kind: str
    context: int
    embed: int
    hidden: int
    init: str
    gain: float
    output_scale: float
    steps: int
    batch: int
    optimizer: str
    lr: float
    schedule: str
    lr_drops: Any
    warmup: float
    decay: float
    weight_decay: float
    momentum: float
    beta1: float
    beta2: float
    eps: float
    clip: float
    seed: int
    patience: int
    eval_every: Any
    log_every: Any
    mode: Any
    split: Any
    split_seed: int
    shuffle: str
    dedupe: bool
    normalize: Any
    def __init__(
        self,
        *,
        context: int = 8,
        embed: int = 24,
        hidden: int = 128,
        init: str = 'kaiming-normal',
        gain: float = 1.0,
        output_scale: float = 0.1,
        steps: int = 200000,
        batch: int = 32,
        optimizer: str = 'sgd',
        lr: float = 0.1,
        schedule: str = 'drops',
        lr_drops: Any = ((0.5, 0.1),),
        warmup: float = 0.0,
        decay: float = 0.2,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-08,
        clip: float = 0.0,
        seed: int = 2147483647,
        patience: int = 0,
        eval_every: Any = None,
        log_every: Any = None,
        mode: Any = None,
        split: Any = None,
        split_seed: int = 42,
        shuffle: str = 'python',
        dedupe: bool = False,
        normalize: Any = None,
    ) -> None: ...

CLASSES: dict[str, type[CharModel]]

def preset(name: str, **params: Any) -> CharModel: ...

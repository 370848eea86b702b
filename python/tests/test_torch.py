import charloom as cl
import numpy as np
import pytest

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("model", [
    cl.MLP(hidden=(16, 16), norm="batch", steps=30), cl.MLP(hidden=(16,), norm="layer", activation="gelu", steps=30),
    cl.MLP(embed=0, hidden=(8,), dropout=0.1, steps=30), cl.Linear(context=2, steps=30),
    cl.WaveNet(context=4, embed=8, hidden=16, steps=30), cl.WaveNet(context=16, embed=1, hidden=1, steps=30),
    cl.MLP(context=1, hidden=(), steps=30), cl.MLP(hidden=(8,), norm="batch", bias=False, activation="relu", steps=30),
    cl.Linear(context=1, bias=False, steps=30), cl.MLP(hidden=(12, 8), norm="rms", activation="squared-relu", steps=30),
    cl.MLP(hidden=(16,), activation="gelu-tanh", steps=30),
])
def test_the_module_of_a_window_model_gives_the_same_probabilities(model, names):
    model.fit(names)
    module, context = model.to_torch(), model.config_["model"]["context"]
    words = names[:40]
    numbers = [[0] * context + [model.vocab_.index(c) for c in word] for word in words]
    with torch.no_grad():
        logits = module(torch.tensor([n[-context:] for n in numbers]))
    assert np.abs(logits.softmax(1).numpy() - model.predict_proba(words)).max() < 1e-5
    assert (model.from_torch(module).predict_proba(words) == model.predict_proba(words)).all()


SEQUENCES = [
    *(make(embed=8, hidden=16, layers=layers) for make in (cl.RNN, cl.GRU, cl.LSTM) for layers in (1, 2)),
    cl.Transformer(embed=16, heads=4, layers=2), cl.Transformer(embed=16, heads=2, layers=1, positions="rotary", norm="rms"),
    cl.Transformer(embed=16, heads=2, layers=1, tie=True, bias=False, activation="squared-relu"),
    cl.BagOfWords(embed=16, hidden=16), cl.preset("microgpt"),
    *(make(embed=0, hidden=8, layers=3) for make in (cl.RNN, cl.GRU, cl.LSTM)), cl.GRU(embed=1, hidden=1, dropout=0.1),
    *(cl.Transformer(embed=16, heads=1, layers=1, positions="none", norm=norm, norm_weight=False, embed_norm=True)
      for norm in ("layer", "rms")),
    *(cl.Transformer(embed=8, heads=2, layers=1, activation=name) for name in ("tanh", "relu", "gelu", "gelu-tanh")),
    *(cl.BagOfWords(embed=1, hidden=1, activation=name) for name in ("gelu", "squared-relu")),
]


@pytest.mark.parametrize("model", SEQUENCES, ids=repr)
def test_the_module_of_a_sequence_model_gives_the_same_probabilities(model, names):
    model.set_params(steps=20, batch=8).fit(names)
    module = model.to_torch()
    for word in names[:20]:
        numbers = torch.tensor([[0] + [model.vocab_.index(c) for c in word]])
        with torch.no_grad():
            wanted = module(numbers)[0].softmax(1).numpy()
        found = model.predict_proba([word[:i] for i in range(len(word) + 1)])
        assert np.abs(wanted - found).max() < 1e-5


def test_beyond_its_context_a_decoder_sees_the_last_of_its_tokens(names):
    model = cl.Transformer(embed=8, heads=2, layers=2, context=4, steps=20, batch=8).fit(names)
    module, word = model.to_torch(), max(names, key=len)
    numbers = [0] + [model.vocab_.index(c) for c in word]
    with torch.no_grad():
        windows = [torch.tensor([numbers[max(0, end - 4):end]]) for end in range(1, len(numbers) + 1)]
        wanted = np.stack([module(window)[0, -1].softmax(0).numpy() for window in windows])
    found = model.predict_proba([word[:i] for i in range(len(word) + 1)])
    assert len(word) > 8 and np.abs(wanted - found).max() < 1e-5

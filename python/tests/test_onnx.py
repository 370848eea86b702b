import json

import charloom as cl
import numpy as np
import pytest

onnxruntime = pytest.importorskip("onnxruntime")

WINDOWS = [
    cl.MLP(hidden=(16, 12), norm="batch"), cl.MLP(hidden=(16,), norm="layer", activation="gelu", dropout=0.1),
    cl.MLP(hidden=(12, 8), norm="rms", activation="squared-relu"), cl.MLP(hidden=(16,), activation="gelu-tanh", dropout=0.1),
    cl.MLP(embed=0, hidden=(8,), activation="relu"), cl.MLP(hidden=()), cl.Linear(context=2), cl.Linear(bias=True),
    cl.WaveNet(context=4, embed=8, hidden=16),
]
SEQUENCES = [
    *(make(embed=embed, hidden=16, layers=layers) for make in (cl.RNN, cl.GRU, cl.LSTM) for embed, layers in ((8, 1), (0, 2))),
    cl.Transformer(embed=16, heads=4, layers=2), cl.Transformer(embed=16, heads=2, layers=1, positions="rotary", norm="rms"),
    cl.Transformer(embed=16, heads=2, layers=1, tie=True, bias=False, activation="squared-relu"),
    cl.Transformer(embed=16, heads=2, layers=1, positions="none", norm_weight=False, activation="gelu-tanh"),
    cl.BagOfWords(embed=16, hidden=16), cl.preset("microgpt"),
]


def session(model, path):
    model.export(path)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def softmax(logits):
    e = np.exp(logits.astype(float) - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("model", WINDOWS, ids=repr)
def test_the_file_of_a_window_model_gives_the_same_probabilities(model, names, tmp_path):
    ours = session(model.set_params(steps=30).fit(names), tmp_path / "m.onnx")
    context, words = model.config_["model"]["context"], names[:40]
    numbers = [([0] * context + [model.vocab_.index(c) for c in word])[-context:] for word in words]
    (logits,) = ours.run(None, {"x": np.array(numbers)})
    assert np.abs(softmax(logits) - model.predict_proba(words)).max() < 1e-5
    assert json.loads(ours.get_modelmeta().custom_metadata_map["vocab"]) == model.vocab_


@pytest.mark.parametrize("model", SEQUENCES, ids=repr)
def test_the_file_of_a_sequence_model_gives_the_same_probabilities(model, names, tmp_path):
    ours = session(model.set_params(steps=20, batch=8).fit(names), tmp_path / "m.onnx")
    for word in names[:10]:
        (logits,) = ours.run(None, {"x": np.array([[0] + [model.vocab_.index(c) for c in word]] * 2)})
        found = model.predict_proba([word[:i] for i in range(len(word) + 1)])
        assert np.abs(softmax(logits) - found).max() < 1e-5


def test_what_has_no_such_form_says_what_there_is(names, mlp, tmp_path):
    with pytest.raises(cl.ModelError, match="mixture"):
        cl.mix([mlp, cl.Ngram(order=2).fit(names)]).export(tmp_path / "m.onnx")
    with pytest.raises(cl.ModelError, match="save"):
        cl.Ngram(order=2).fit(names).export(tmp_path / "m.onnx")
    with pytest.raises(ValueError, match=r"\.onnx"):
        mlp.export(tmp_path / "m.pt")
    with pytest.raises(OSError, match="nowhere"):
        mlp.export(tmp_path / "nowhere" / "m.onnx")

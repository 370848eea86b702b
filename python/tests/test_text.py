"""What counts as text, and what is shown while it is learned."""

import charloom as cl
import numpy as np
import pytest


def tables(names):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    return {
        "pandas": pandas.Series(names), "a column": pandas.DataFrame({"name": names})[["name"]], "polars": polars.Series(names),
        "numpy": np.array(names), "objects": np.array(names, dtype=object), "a generator": (name for name in names),
        "a tuple": tuple(names), "a dict's keys": dict.fromkeys(names).keys(),
    }


def test_any_iterable_of_strings_is_text(names):
    names = list(dict.fromkeys(names))
    wanted = cl.Ngram(order=3).fit(names).sample(20)
    for kind, text in tables(names).items():
        assert cl.Ngram(order=3).fit(text).sample(20) == wanted, kind
    model = cl.Ngram(order=3).fit(names)
    for kind, text in tables(names[:50]).items():
        assert (model.score_samples(text) == model.score_samples(names[:50])).all(), kind


def test_missing_values_are_named(names):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for text in (pandas.Series(["a", None, "b"]), polars.Series(["a", None, "b"])):
        with pytest.raises(TypeError, match=r"X\[1\]"):
            cl.Ngram().fit(text)


def test_a_path_and_one_long_string(names, tmp_path):
    (tmp_path / "n.txt").write_text("\n".join(names) + "\n")
    wanted = cl.Ngram(order=3).fit(names).sample(20)
    assert cl.Ngram(order=3).fit(tmp_path / "n.txt").sample(20) == wanted
    assert cl.Ngram(order=3).fit(str(tmp_path / "n.txt")).sample(20) == wanted
    assert cl.Ngram(order=3).fit(" ".join(names)).config_["data"]["mode"] == "text"


def test_tqdm_shows_what_is_done_and_a_line_does_without(names, capsys, monkeypatch):
    pytest.importorskip("tqdm")
    cl.MLP(hidden=(8,), steps=300, eval_every=100).fit(names, progress=True)
    said = capsys.readouterr().err
    assert "300/300" in said and "best=" in said
    monkeypatch.setitem(__import__("sys").modules, "tqdm.auto", None)
    cl.MLP(hidden=(8,), steps=300, eval_every=100).fit(names, progress=True)
    said = capsys.readouterr().err
    assert "step 300 of 300, best" in said
    cl.MLP(hidden=(8,), steps=30).fit(names, progress=False)
    assert capsys.readouterr().err == ""


def test_known_data(tmp_path, monkeypatch):
    assert len(cl.datasets.load()) == len(cl.datasets.load("us-names-2018")) == 32_257
    monkeypatch.setenv("CHARLOOM_CACHE", str(tmp_path))
    with pytest.raises(cl.DataError, match="charloom data get tinyshakespeare"):
        cl.datasets.load("tinyshakespeare")

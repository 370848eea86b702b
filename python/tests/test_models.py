import copy
import math
import pickle
import re
import subprocess
import sys

import charloom as cl
import numpy as np
import pytest


def test_a_fitted_model_writes_scores_and_predicts(names, mlp):
    assert mlp.fit is not None and mlp.n_parameters_ == 27 * 6 + 18 * 32 + 32 + 32 * 27 + 27
    words = mlp.sample(20, prefix="ma")
    assert len(words) == 20 and all(word.startswith("ma") for word in words)
    texts, log_probs = mlp.sample(5, return_log_probs=True)
    assert np.allclose(log_probs, mlp.score_samples(texts), atol=1e-4)
    probabilities = mlp.predict_proba(["", "emm"])
    assert probabilities.shape == (2, 27) and np.allclose(probabilities.sum(1), 1, atol=1e-6)
    assert mlp.evaluate()["loss"] < math.log(27) - 0.5
    assert mlp.score(names) == pytest.approx(-mlp.evaluate(names)["loss"])
    assert [c for c, _ in mlp.surprise("emma")] == list("emma.")
    assert sum(p for _, p in mlp.surprise("emma")) == pytest.approx(mlp.score_samples(["emma"])[0], abs=1e-5)


def test_an_unknown_character_is_impossible_and_named(mlp):
    assert mlp.score_samples(["Q"])[0] == -math.inf
    with pytest.raises(cl.DataError, match="U\\+0051"):
        mlp.surprise("Q")


def test_history_and_callbacks(names):
    seen = []
    model = cl.MLP(hidden=(8,), steps=40, eval_every=20).fit(names, callbacks=[seen.append])
    assert [e["step"] for e in seen if e["event"] == "evaluated"] == [0, 20, 40]
    assert len(model.history_) == len(seen)
    with pytest.raises(RuntimeError, match="mine"):
        cl.MLP(hidden=(8,), steps=40).fit(names, callbacks=[_raise])


def test_nothing_of_python_runs_in_a_fit_that_nobody_watches(names):
    def calls(steps):
        counted = []
        sys.setprofile(lambda frame, event, arg: counted.append(event))
        cl.MLP(hidden=(4,), steps=steps, log_every=1, eval_every=steps).fit(names)
        sys.setprofile(None)
        return len(counted)

    calls(5)
    assert calls(20) == calls(500)


def test_what_the_library_would_choose_can_be_said(names):
    model = cl.GRU(hidden=8, embed=8, steps=10, eval_size=50, feed="words").fit(names)
    assert (model.config_["train"]["eval_size"], model.config_["train"]["feed"]) == (50, "words")
    with pytest.raises(ValueError, match="feed"):
        cl.GRU(hidden=8, embed=8, steps=10, feed="streams").fit(names)


def _raise(event):
    raise RuntimeError("mine")


def test_equal_seeds_give_equal_numbers_and_another_seed_others(names):
    one, two, three = (cl.MLP(hidden=(8,), steps=30, seed=seed).fit(names) for seed in (1, 1, 2))
    assert one.sample(5) == two.sample(5)
    assert (one.score_samples(names[:9]) == two.score_samples(names[:9])).all()
    assert not (one.score_samples(names[:9]) == three.score_samples(names[:9])).all()


def test_copies_and_files(names, mlp, tmp_path):
    scores = mlp.score_samples(names[:50])
    mlp.save(tmp_path / "m.safetensors")
    for other in (pickle.loads(pickle.dumps(mlp)), copy.deepcopy(mlp), cl.load(tmp_path / "m.safetensors")):
        assert (other.score_samples(names[:50]) == scores).all()
    state = mlp.state_dict()
    changed = copy.deepcopy(mlp).load_state_dict({name: 0 * array for name, array in state.items()})
    assert changed.score_samples(["ab"])[0] == pytest.approx(3 * math.log(1 / 27), abs=1e-5)


def test_a_state_may_be_any_array_of_real_numbers(names, mlp):
    state, scores = mlp.state_dict(), mlp.score_samples(names[:20])

    def apart(array):
        room = np.zeros(tuple(2 * size for size in array.shape), array.dtype)[tuple(slice(None, None, 2) for _ in array.shape)]
        room[...] = array
        return room

    def fixed(array):
        array.flags.writeable = False
        return array

    forms = [
        np.float64, np.asfortranarray, apart, lambda a: a[::-1].copy()[::-1], lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: fixed(a.copy()), lambda a: a.tolist(),
        lambda a: np.frombuffer(bytearray(b"x" + a.tobytes()), np.float32, offset=1).reshape(a.shape),
    ]
    for form in forms:
        again = copy.deepcopy(mlp).load_state_dict({name: form(array) for name, array in state.items()})
        assert (again.score_samples(names[:20]) == scores).all()


def test_settings_may_be_arrays(names):
    model = cl.MLP(hidden=np.array([4, 5]), steps=np.int64(2), lr=np.float32(0.5)).fit(names)
    assert model.config_["model"]["hidden"] == [4, 5] and "hidden=array" in repr(model)


def test_runs_are_folders_of_the_command(names, tmp_path):
    cl.MLP(hidden=(8,), steps=30).fit(names, out=tmp_path / "run")
    assert {"best.safetensors", "last.safetensors", "config.toml", "metrics.jsonl"} <= {
        p.name for p in (tmp_path / "run").iterdir()
    }
    with pytest.raises(cl.CharloomError):
        cl.MLP(hidden=(8,), steps=30).fit(names, out=tmp_path / "run")


@pytest.mark.parametrize("kind", sorted(cl.CLASSES))
def test_every_kind_fits_scores_samples_and_sums_to_one(names, kind):
    model = cl.CLASSES[kind]()
    small = {"steps": 20, "batch": 16, "hidden": (16,), "embed": 16, "layers": 1, "heads": 2}
    own = model.get_params()
    model.set_params(**{key: value for key, value in small.items() if key in own})
    model.fit(names)
    assert len(model.sample(3)) == 3
    assert np.isfinite(model.score_samples(["emma"]))[0]
    assert np.allclose(model.predict_proba(["", "an"]).sum(1), 1, atol=1e-5)
    assert (pickle.loads(pickle.dumps(model)).score_samples(["emma"]) == model.score_samples(["emma"])).all()


def test_running_text_streams(names):
    text = " ".join(names)
    model = cl.Ngram(order=3).fit(text)
    stream = model.stream(prefix="em", seed=3)
    begun = "".join(next(stream) for _ in range(600))
    assert len(begun) == 600 and model.evaluate(text)["examples"] == len(text) - 1
    assert len([c for c, _ in zip(model.stream(prefix="emma " * 100), range(300), strict=False)]) == 300


def test_only_what_matches_a_pattern_is_drawn(mlp):
    words = mlp.sample(50, pattern=r"[aeiou].*n", seed=3)
    assert len(words) == 50 and all(word[0] in "aeiou" and word[-1] == "n" for word in words)
    drawn = mlp.sample(5000, seed=3)
    assert words == [word for word in drawn if re.fullmatch("[aeiou].*n", word)][:50]
    assert mlp.sample(0, pattern="a") == []
    assert all(word.startswith("ma") and len(word) == 4 for word in mlp.sample(10, prefix="ma", pattern="....", unique=True))
    with pytest.raises(ValueError, match="pattern"):
        mlp.sample(1, pattern="(")
    with pytest.warns(UserWarning, match="0 of 3 .* pattern left out the rest of .* drawn"):
        assert mlp.sample(3, pattern="Q") == []


def test_new_ones_are_not_in_the_training_split(names, mlp):
    known = set(names)
    fresh = mlp.sample(100, novel=True, unique=True)
    assert len(set(fresh)) == 100 and len(known.intersection(fresh)) < 30  # some are in the other splits
    memory = cl.Ngram(order=2).fit(["ab"] * 30)
    with pytest.warns(UserWarning, match="only .* novel"):
        memory.sample(50, novel=True, unique=True)


def test_the_top_are_the_likeliest(names, mlp):
    words, log_probs = mlp.top(100, return_log_probs=True)
    assert len(set(words)) == 100 and (np.diff(log_probs) <= 0).all()
    assert np.allclose(log_probs, mlp.score_samples(words), atol=1e-4)
    drawn = np.array(sorted(set(mlp.sample(5000))))
    above = drawn[mlp.score_samples(drawn) > log_probs[-1] + 1e-4]
    assert len(above) > 20 and set(above) <= set(words)
    assert all(word.startswith("ma") for word in mlp.top(5, prefix="ma"))
    with pytest.raises(ValueError, match="running text"):
        cl.Ngram(order=2).fit("some text that runs on").top(3)


def test_compare_and_classify(names, mlp):
    ngram = cl.Ngram(order=4).fit(names)
    rows = cl.compare({"mlp": mlp, "ngram": ngram}, names[-400:])
    assert [row["difference"] is None for row in rows] == [True, False] and 0 <= rows[1]["p"] <= 1
    numbers = cl.Ngram(order=2).fit([str(i) for i in range(1000)])
    assert cl.classify({"names": ngram, "numbers": numbers}, ["emma", "123"]) == ["names", "numbers"]


def test_presets_and_html(mlp):
    assert cl.preset("bengio", steps=5).get_params()["embed"] == 32
    assert "<script" not in mlp._repr_html_() and "<svg" in mlp._repr_html_()
    assert "not fitted" in cl.MLP()._repr_html_()


def test_settings_that_suit_a_size_are_the_commands(names, tmp_path):
    (tmp_path / "n.txt").write_text("\n".join(names) + "\n")
    more = ["--steps", "30", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "charloom", "train", str(tmp_path / "n.txt"), "--size", "tiny", *more], capture_output=True)
    assert done.returncode == 0, done.stderr
    model = cl.sized("tiny", tmp_path / "n.txt", steps=30).fit(tmp_path / "n.txt")
    assert isinstance(model, cl.GRU) and model.config_ == cl.load(tmp_path / "run").config_
    assert model.sample(5) == cl.load(tmp_path / "run").sample(5)
    mlp = cl.sized("small", names, kind="mlp", val=names[:100], hidden=(7,), split=(0.5, 0.25, 0.25))
    assert (mlp.kind, mlp.hidden, mlp.split) == ("mlp", (7,), (0.5, 0.25, 0.25)) and mlp.steps >= 500
    for wrong in ({"size": "huge", "X": names}, {"size": "tiny", "X": names, "kind": "ngram"}):
        with pytest.raises(ValueError, match="size"):
            cl.sized(**wrong)


def test_no_seed_is_another_one_each_time(mlp):
    assert mlp.sample(20, seed=None) != mlp.sample(20, seed=None)
    assert mlp.sample(5, stream="torch") != mlp.sample(5, stream="words")
    with pytest.raises(ValueError, match="torch-cdf"):
        mlp.sample(5, stream="numpy")


def test_the_loop_by_hand(names):
    t = cl.Trainer(cl.MLP(hidden=(8,), steps=100), names)
    first = t.step()
    assert t.step(99) < first and t.steps_done == 100
    assert t.evaluate("val") == pytest.approx(t.model().evaluate(split="val")["loss"])


def test_a_mixture_is_better_than_its_members_and_a_model_like_any_other(names, mlp, tmp_path):
    ngram = cl.Ngram(order=4).fit(names)
    mixed = cl.mix([mlp, ngram])
    assert sum(mixed.weights_) == pytest.approx(1) and len(mixed.sample(3)) == 3
    on_val = [model.evaluate(split="val")["loss"] for model in (mixed, mlp, ngram)]
    assert on_val[0] < min(on_val[1:])
    mixed.save(tmp_path / "mix.safetensors")
    again = cl.load(tmp_path / "mix.safetensors")
    assert (again.score_samples(names[:20]) == mixed.score_samples(names[:20])).all()
    assert np.allclose(mixed.predict_proba(["an"]).sum(), 1, atol=1e-6)
    assert cl.mix([mlp, ngram], names[:100], weights=[0.25, 0.75]).weights_ == [0.25, 0.75]
    product = cl.mix([mlp, ngram], product=True)
    assert product.evaluate(split="val")["loss"] < on_val[0]
    assert np.allclose(product.predict_proba(["an"]).sum(), 1, atol=1e-6)
    adapting = cl.mix([mlp, ngram], product=True, adapt=0.01)
    assert adapting.evaluate(split="val", adapt=0.01)["loss"] < on_val[0]
    with pytest.raises(cl.SettingError, match="say product=True"):
        cl.mix([mlp, ngram], adapt=0.01)
    with pytest.raises(cl.SettingError, match="leave out weights"):
        cl.mix([mlp, ngram], weights=[0.5, 0.5], product=True)
    with pytest.raises(ValueError, match="two models"):
        cl.mix([mlp])
    with pytest.raises(cl.CharloomError, match="characters"):
        cl.mix([mlp, cl.Ngram(order=2).fit(["123", "456"] * 20)], names[:100])

"""Whatever the library can be told, Python can say."""

import json
import re

import charloom as cl
import numpy as np
import pytest
from charloom import _charloom, _settings


def test_every_setting_of_a_training_is_a_keyword():
    with pytest.raises(ValueError) as error:
        _charloom.Training(json.dumps({"train": {"nosuch": 1}}), "a\nb\n")
    known = set(re.findall(r"`(\w+)`", str(error.value).split("expected")[1]))
    assert len(known) > 30
    assert known | {"teacher_weight", "teacher_temperature"} == set(_settings.TRAIN)


def test_a_run_is_begun_with_anothers_weights_and_learns_from_a_teacher(names, tmp_path):
    first = cl.MLP(hidden=(16,), steps=200).fit(names, out=tmp_path / "first")
    before = cl.MLP(hidden=(16,), steps=1, lr=1e-9, init_from=tmp_path / "first").fit(names)
    assert before.evaluate()["loss"] == pytest.approx(first.evaluate()["loss"], abs=1e-4)
    taught = cl.MLP(hidden=(8,), steps=50, teacher=tmp_path / "first", teacher_weight=0.9, teacher_temperature=2.0).fit(names)
    told = taught.config_["train"]["teacher"]
    assert (told["weight"], told["temperature"]) == (0.9, 2.0)
    alone = cl.MLP(hidden=(8,), steps=50).fit(names)
    assert not np.array_equal(alone.score_samples(names[:9]), taught.score_samples(names[:9]))
    with pytest.raises(ValueError, match="teacher_weight"):
        cl.MLP(teacher_weight=0.5).fit(names)
    with pytest.raises(cl.ModelError, match="nowhere: no such run"):
        cl.MLP(init_from="nowhere", steps=5).fit(names)


def test_several_seeds_make_a_mixture(names, tmp_path):
    told = []
    model = cl.MLP(hidden=(8,), steps=60, seeds=2).fit(names, callbacks=[told.append], out=tmp_path / "run")
    assert {event["training"] for event in told} == {1, 2} and model.config_["model"]["kind"] == "mixture"
    one = cl.MLP(hidden=(8,), steps=60).fit(names)
    assert model.evaluate(names[-400:])["loss"] < one.evaluate(names[-400:])["loss"]
    assert cl.load(tmp_path / "run").sample(5) == model.sample(5)


def test_an_average_of_weights_is_kept(names):
    plain, average = (cl.MLP(hidden=(8,), steps=60, ema=ema).fit(names) for ema in (0.0, 0.9))
    assert not np.array_equal(plain.score_samples(names[:9]), average.score_samples(names[:9]))


def test_whole_numbers_may_be_written_as_floats(names):
    assert cl.MLP(hidden=(4,), steps=2e1).fit(names).config_["train"]["steps"] == 20

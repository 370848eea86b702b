"""Models judged in every way, beside what the command says."""

import json
import math
import subprocess
import sys

import charloom as cl
import pytest


def said(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "charloom", *map(str, arguments), "--json"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def run(tmp_path_factory, names):
    """A run of the command on a file."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "n.txt").write_text("\n".join(names) + "\n")
    cl.GRU(hidden=16, embed=8, steps=200, batch=16).fit(folder / "n.txt", out=folder / "gru")
    return folder / "gru"


@pytest.mark.parametrize("how", [
    {"adapt": 0.2}, {"adapt": 0.05, "adapt_segment": 20, "adapt_decay": 0.01}, {"adapt": 0.001, "adapt_rule": "rms"}, {},
], ids=str)
def test_it_judges_as_the_command_does(run, how):
    flags = [part for key, value in how.items() for part in (f"--{key.replace('_', '-')}", value)]
    wanted = said("eval", run, "--split", "test", *flags)
    found = cl.load(run).evaluate(**how)
    assert found == {key: wanted[key] for key in found}
    assert {key: said("eval", run, *flags)[key] for key in found} == cl.load(run).evaluate(split="val", **how)


def test_what_is_learned_while_it_reads_is_forgotten(run, names):
    model = cl.load(run)
    before = model.evaluate(names[:500])["loss"]
    assert model.evaluate(names[:500], adapt=0.1)["loss"] < before
    assert model.evaluate(names[:500])["loss"] == before


def test_windows_move_by_another_stride():
    text = "the quick brown fox jumps over the lazy dog and runs on " * 40
    model = cl.Transformer(context=16, embed=16, heads=2, layers=1, steps=20, batch=4).fit(text)
    losses = [model.evaluate(text, stride=stride)["loss"] for stride in (1, 4, 16)]
    assert losses[1] == model.evaluate(text)["loss"] and len(set(losses)) == 3
    with pytest.raises(ValueError, match="stride"):
        model.evaluate(text, stride=17)
    with pytest.raises(ValueError, match="stride"):
        cl.Ngram(order=2).fit(text).evaluate(stride=2)


def test_strings_with_unknown_characters_are_refused_left_out_or_judged(run, names):
    model, some = cl.load(run), names[:20]
    with pytest.raises(cl.DataError, match="U\\+0051"):
        model.evaluate([*some, "Quinn"])
    known = model.evaluate(some)
    assert model.evaluate([*some, "Quinn"], unknown="skip") == known
    floor = model.evaluate([*some, "Quinn"], unknown="floor")
    more = floor["loss"] * floor["examples"] - known["loss"] * known["examples"]
    assert floor["examples"] == known["examples"] + 6 and more > math.log(1_112_064)
    (run.parent / "more.txt").write_text("\n".join([*some, "Quinn"]) + "\n")
    assert floor["loss"] == said("eval", run, run.parent / "more.txt", "--unknown", "floor")["loss"]
    with pytest.raises(cl.DataError, match="every line"):
        model.evaluate(["Q"], unknown="skip")
    assert model.evaluate(["Q"], unknown="floor")["examples"] == 2


def test_a_loaded_run_reads_its_data_again(run, names):
    model = cl.load(run)
    assert len(set(model.sample(20, novel=True)).intersection(names)) < 10
    fitted = cl.Ngram(order=2).fit(names, out=run.parent / "of memory")
    assert fitted.evaluate()["examples"] > 0
    assert repr(cl.load(run.parent / "of memory")) == "<charloom ngram>" and " parameters>" in repr(model)
    with pytest.raises(cl.CharloomError, match="not kept with a model; give the text"):
        cl.load(run.parent / "of memory").evaluate()
    moved = run.parent / "elsewhere.txt"
    (run.parent / "n.txt").rename(moved)
    with pytest.raises(cl.CharloomError, match="cannot be read again; give the text"):
        cl.load(run).evaluate()
    moved.rename(run.parent / "n.txt")


@pytest.mark.parametrize("how, message", [
    ({"adapt_segment": 20}, "`adapt_segment` has no effect"), ({"adapt": -1.0}, "`adapt` -1"), ({"adapt": math.nan}, "adapt"),
    ({"adapt": 0.1, "adapt_rule": "sum"}, "plain, rms"), ({"adapt": 0.1, "adapt_segment": 0}, "adapt_segment"),
    ({"unknown": "skip"}, "`unknown` has no effect"), ({"X": ["emma"], "split": "val"}, "`split` has no effect"),
    ({"X": ["emma"], "unknown": "drop"}, "refuse, skip, floor"),
])
def test_what_has_no_effect_or_sense_is_refused(run, how, message):
    with pytest.raises(ValueError, match=message):
        cl.load(run).evaluate(**how)


def test_counts_do_not_adapt(names):
    with pytest.raises(ValueError, match="nothing in this model learns"):
        cl.Ngram(order=2).fit(names).evaluate(adapt=0.1)

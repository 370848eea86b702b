import charloom as cl
import pytest


def test_a_grid_tries_every_value_and_gives_a_model_to_fit(names):
    base, told = cl.MLP(hidden=(8,), steps=60, batch=16, eval_every=20), []
    found = cl.sweep({"embed": [2, 6], "lr": [0.1, 0.0001]}, base=base, data=names, callbacks=[told.append])
    assert len(found) == len(told) == 4 and {trial["state"] for trial in found} == {"done"}
    losses = [trial["loss"] for trial in found]
    assert losses == sorted(losses) and found.best_loss_ == losses[0]
    # A rate of next to nothing has learned nothing.
    assert found.best_params_["lr"] == 0.1 and max(found.importance_, key=found.importance_.get) == "lr"
    assert found.best_model_.get_params() == {**base.get_params(), **found.best_params_}
    fitted = found.best_model_.fit(names)
    assert min(e["val_loss"] for e in fitted.history_ if e.get("val_loss")) == pytest.approx(found.best_loss_, abs=1e-9)
    assert "0.0001" in found._repr_html_() and "<script" not in found._repr_html_()


def test_a_number_of_layers_and_their_widths(names):
    base = cl.MLP(steps=20, eval_every=20)
    found = cl.sweep({"layers": [1, 2], "hidden": [4, 8]}, base=base, data=names)
    assert len(found) == 6 and len(found.best_model_.hidden) == found.best_params_["layers"]
    assert found.best_model_.fit(names).history_[-1]["val_loss"] == pytest.approx(found.best_loss_, abs=1e-9)


def test_a_range_is_searched_and_a_study_goes_on(names, tmp_path):
    study = tmp_path / "s.db"
    how = {"base": cl.MLP(hidden=(8,), steps=20), "data": names, "study": study, "threads": 1}
    space = {"lr": {"low": 1e-3, "high": 1.0, "log": True}}
    first = cl.sweep(space, trials=2, **how)
    with pytest.raises(cl.CharloomError, match="exists"):
        cl.sweep(space, trials=4, **how)
    more = cl.sweep(space, trials=4, resume=True, **how)
    assert len(first) == 2 and len(more) == 4
    seen = {trial["number"]: trial["loss"] for trial in more}
    assert all(seen[trial["number"]] == trial["loss"] for trial in first)
    with pytest.raises(ValueError, match="something else"):
        cl.sweep({"embed": [1, 2]}, trials=4, resume=True, **how)


def test_what_is_wrong_with_a_sweep_is_named(names):
    base = cl.MLP(hidden=(8,), steps=10)
    for settings, kind, said in [
        ({}, ValueError, "nothing varies"), ({"embed": "2,6"}, ValueError, "embed"), ({"hiden": [3]}, ValueError, "hiden"),
        ({"lr": {"low": 1}}, ValueError, "low and high"), ([1], TypeError, "dict"),
    ]:
        with pytest.raises(kind, match=said):
            cl.sweep(settings, base=base, data=names)
    with pytest.raises(TypeError, match="base"):
        cl.sweep({"embed": [2]}, base="mlp", data=names)
    with pytest.raises(ValueError, match="gird"):
        cl.sweep({"embed": [2]}, base=base, data=names, sampler="gird")
    with pytest.raises(RuntimeError, match="mine"):
        cl.sweep({"embed": [2, 3]}, base=base, data=names, callbacks=[_raise])


def _raise(event):
    raise RuntimeError("mine")

import charloom as cl
import pytest

sklearn = pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline


def test_clone_and_grid_search(names):
    model = cl.MLP(hidden=(8,), steps=30, batch=16)
    assert clone(model).get_params() == model.get_params()
    search = GridSearchCV(model, {"embed": [2, 6]}, cv=2).fit(names[:600])
    assert search.best_params_["embed"] in (2, 6) and search.best_estimator_.sample(1)


def test_pipeline(names):
    pipeline = Pipeline([("model", cl.Ngram(order=3))]).fit(names)
    assert pipeline.score(names) < 0


@pytest.mark.parametrize("make", [cl.MLP, cl.Linear, cl.Ngram])
def test_the_checks_of_scikit_learn_that_need_no_numbers(make):
    """The others feed arrays of numbers, which are no text."""
    from sklearn.utils import estimator_checks as checks

    name = make.__name__
    for check in [
        "check_estimator_cloneable", "check_estimator_repr", "check_no_attributes_set_in_init",
        "check_parameters_default_constructible", "check_get_params_invariance", "check_set_params",
        "check_do_not_raise_errors_in_init_or_set_param", "check_estimator_tags_renamed", "check_valid_tag_types",
    ]:
        if hasattr(checks, check):
            getattr(checks, check)(name, make())

import pickle
import warnings

import charloom as cl
import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted


def test_clone_and_grid_search(names):
    model = cl.MLP(hidden=(8,), steps=30, batch=16)
    assert clone(model).get_params() == model.get_params()
    search = GridSearchCV(model, {"embed": [2, 6]}, cv=2).fit(names[:600])
    assert search.best_params_["embed"] in (2, 6) and search.best_estimator_.sample(1)
    assert len(cross_val_score(cl.Ngram(order=3), np.array(names[:600]), cv=3)) == 3


def test_pipeline(names):
    pipeline = Pipeline([("model", cl.Ngram(order=3))]).fit(names)
    assert pipeline.score(names) < 0
    assert pipeline.set_params(model__order=2).fit(names)["model"].config_["model"]["order"] == 2


#: The checks of `check_estimator` that do not apply, and why. What those of them mean for text is tested below.
NUMBERS = "it fits an array of numbers, and this is a model of text"
OTHERS = {
    **dict.fromkeys([
        "check_fit_score_takes_y", "check_estimators_overwrite_params", "check_dont_overwrite_parameters",
        "check_estimators_fit_returns_self", "check_readonly_memmap_input", "check_n_features_in_after_fitting",
        "check_positive_only_tag_during_fit", "check_estimators_dtypes", "check_complex_data", "check_dtype_object",
        "check_pipeline_consistency", "check_estimators_pickle", "check_f_contiguous_array_estimator",
        "check_methods_sample_order_invariance", "check_methods_subset_invariance", "check_fit2d_1sample",
        "check_fit2d_1feature", "check_dict_unchanged", "check_fit_idempotent", "check_fit_check_is_fitted",
        "check_n_features_in", "check_fit1d", "check_fit2d_predict1d",
    ], NUMBERS),
    "check_estimators_empty_data_messages": "it wants a message about features, which text has not",
    "check_estimators_nan_inf": "it wants a message about NaN in numbers; a missing string is named by its place",
    "check_estimator_sparse_tag": "it fits a sparse matrix",
    "check_estimator_sparse_array": "it fits a sparse matrix",
    "check_estimator_sparse_matrix": "it fits a sparse matrix",
    "check_estimators_unfitted": "it wants scikit-learn's own NotFittedError; this one is ValueError and AttributeError as that is",
}
MODELS = [cl.MLP(hidden=(4,), steps=2), cl.Linear(steps=2), cl.Ngram(order=2), cl.GRU(hidden=4, embed=4, steps=2)]


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_the_checks_of_scikit_learn_pass_but_those_named(model):
    class Any(type(model)):
        """The same, which says that it takes numbers, so that no check is left out."""

        def __sklearn_tags__(self):
            tags = super().__sklearn_tags__()
            tags.input_tags.two_d_array = True
            return tags

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert all(found["status"] == "passed" for found in check_estimator(model, on_fail=None))
        all_found = check_estimator(Any(**model.get_params()), on_fail=None, on_skip=None)
    failed = {found["check_name"]: found["exception"] for found in all_found if found["status"] == "failed"}
    assert not {name: error for name, error in failed.items() if name not in OTHERS}
    assert sum(found["status"] == "passed" for found in all_found) >= 10
    # Nothing is in the list that need not be.
    assert set(OTHERS) == set(failed)


def test_what_those_checks_mean_for_text(names):
    model = cl.MLP(hidden=(4,), steps=10)
    params = model.get_params()
    with pytest.raises(ValueError, match="not fitted"):
        check_is_fitted(model) or model.predict_proba(["a"])
    assert model.fit(names) is model and model.fit(names, None) is model
    check_is_fitted(model)
    assert model.get_params() == params
    scores, order = model.score_samples(names[:60]), np.random.default_rng(1).permutation(60)
    assert (model.score_samples([names[i] for i in order]) == scores[order]).all()
    assert (np.concatenate([model.score_samples([name]) for name in names[:60]]) == scores).all()
    before = dict(model.__dict__)
    model.sample(3), model.score(names), model.predict_proba(names[:3])
    assert model.__dict__ == before
    assert (clone(model).fit(names).score_samples(names[:60]) == scores).all()
    assert (pickle.loads(pickle.dumps(model)).score_samples(names[:60]) == scores).all()
    for empty in ([], np.array([], dtype=str)):
        with pytest.raises(ValueError, match="nothing"):
            cl.MLP().fit(empty)

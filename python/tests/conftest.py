import charloom as cl
import pytest


@pytest.fixture(scope="session")
def names():
    return cl.datasets.load("names")[:4000]


@pytest.fixture(scope="session")
def mlp(names):
    return cl.MLP(hidden=(32,), steps=400, batch=64).fit(names)

"""The cases of micrograd's own tests, and the table of operations against differences."""

import math

import pytest
from charloom.scalar import Value


def test_a_small_expression_has_the_values_and_gradients_of_torch():
    x = Value(-4.0)
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    h = (z * z).relu()
    y = h + q + q * x
    y.backward()
    assert (y.data, x.grad) == (-20.0, 46.0)


def test_a_larger_expression_has_the_values_and_gradients_of_torch():
    a, b = Value(-4.0), Value(2.0)
    c = a + b
    d = a * b + b**3
    c = c + (c + 1)
    c = c + (1 + c + (-a))
    d = d + (d * 2 + (b + a).relu())
    d = d + (3 * d + (b - a).relu())
    e = c - d
    f = e**2
    g = f / 2.0
    g = g + 10.0 / f
    g.backward()
    assert g.data == pytest.approx(24.70408163265306, abs=1e-6)
    assert a.grad == pytest.approx(138.8338192419825, abs=1e-6)
    assert b.grad == pytest.approx(645.5772594752186, abs=1e-6)


@pytest.mark.parametrize("f", [
    lambda x: x + 2, lambda x: 2 - x, lambda x: x * x, lambda x: 3 / x, lambda x: x**3, lambda x: 2**x,
    lambda x: -x, lambda x: x.exp(), lambda x: x.log(), lambda x: x.sqrt(), lambda x: x.tanh(),
    lambda x: x.sigmoid(), lambda x: x.relu(),
])
def test_gradients_are_those_of_differences(f):
    x, h = Value(1.3), 1e-6
    f(x).backward()
    assert x.grad == pytest.approx((f(Value(1.3 + h)).data - f(Value(1.3 - h)).data) / (2 * h), rel=1e-6)


def test_leaves_add_up_and_can_be_zeroed():
    x = Value(3.0)
    (x * x).backward()
    (x * x).backward()
    assert x.grad == 12.0
    x.grad = 0.0
    x.data = 1.0
    (x * x).backward()
    assert x.grad == 2.0


def test_a_long_chain_does_not_overflow_the_stack():
    x = Value(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1e-6
    y.backward()
    assert x.grad == 1.0 and math.isclose(y.data, 1.1, rel_tol=1e-9)
    del y


def test_pictures_and_wrong_use():
    x = Value(2.0, label="<x>")
    y = x * 3
    assert "<svg" in y._repr_svg_() and "&lt;x&gt;" in y.svg()
    with pytest.raises(TypeError):
        x + "a"
    with pytest.raises(ValueError):
        y.data = 3.0

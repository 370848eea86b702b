"""micrograd's interface: numbers that remember what they were computed from.

>>> a, b = Value(2.0), Value(3.0)
>>> c = (a * b).tanh()
>>> c.backward()
"""

from ._charloom import Value

__all__ = ["Value"]

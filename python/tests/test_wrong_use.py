"""Whatever is wrong is a clear exception, and never a crash."""

import os
import random
import re
import signal
import threading
import time

import charloom as cl
import numpy as np
import pytest


class BytesPath:
    def __fspath__(self):
        return b"nowhere"


def endless():
    inside = []
    inside.append(inside)
    return inside


WRONG = {
    "a keyword it has not": (lambda m, n: cl.MLP(hiden=3), TypeError, "hiden"),
    "a setting out of range": (lambda m, n: cl.MLP(hidden=(0,)).fit(n), ValueError, "hidden"),
    "a huge layer": (lambda m, n: cl.MLP(hidden=(10**9,)).fit(n), ValueError, "hidden"),
    "a huge batch": (lambda m, n: cl.MLP(batch=2**62).fit(n), ValueError, "batch"),
    "a word it does not know": (lambda m, n: cl.MLP(optimizer="adam").fit(n), ValueError, "optimizer"),
    "a rate that is no number": (lambda m, n: cl.MLP(lr=float("nan")).fit(n), ValueError, "lr"),
    "numbers for strings": (lambda m, n: cl.MLP().fit([1, 2]), TypeError, r"X\[0\]"),
    "a missing string": (lambda m, n: cl.MLP().fit(["a", float("nan")]), TypeError, "NaN"),
    "a string with a line break": (lambda m, n: cl.MLP().fit(["a\nb", "c"]), ValueError, r"X\[0\]"),
    "nothing": (lambda m, n: cl.MLP().fit([]), ValueError, "nothing"),
    "no iterable": (lambda m, n: cl.MLP().fit(3), TypeError, "int"),
    "not fitted": (lambda m, n: cl.MLP().sample(), ValueError, "not fitted"),
    "less than none": (lambda m, n: m.sample(-1), ValueError, "n -1"),
    "half a sample": (lambda m, n: m.sample(2.5), TypeError, "whole number"),
    "a negative seed": (lambda m, n: m.sample(1, seed=-1), ValueError, "seed"),
    "a negative temperature": (lambda m, n: m.sample(1, temperature=-1), ValueError, "temperature"),
    "a NaN temperature": (lambda m, n: m.sample(1, temperature=float("nan")), ValueError, "temperature"),
    "an unknown prefix": (lambda m, n: m.sample(1, prefix="Q"), ValueError, "U\\+0051"),
    "a string for strings": (lambda m, n: m.score_samples("emma"), TypeError, "iterable of str"),
    "no such file": (lambda m, n: cl.load("nowhere"), OSError, "nowhere"),
    "a callback by itself": (lambda m, n: cl.MLP().fit(n, callbacks=print), TypeError, "put it in a list"),
    "a callback that is none": (lambda m, n: cl.MLP().fit(n, callbacks=[print, 3]), TypeError, r"callbacks\[1\] is int"),
    "no threads": (lambda m, n: cl.MLP(steps=2).fit(n, threads=0), ValueError, "from 1 to 256"),
    "less than no threads": (lambda m, n: cl.Trainer(cl.MLP(steps=2), n, threads=-1), ValueError, "threads -1"),
    "huge threads": (lambda m, n: cl.sweep({"embed": [2]}, base=cl.MLP(steps=2), data=n, threads=2**40), ValueError, "threads"),
    "a list of numbers": (lambda m, n: cl.MLP().fit(np.zeros((3, 3))), TypeError, "X has 3 columns"),
    "a mistyped file": (lambda m, n: cl.MLP().fit("namse.txt"), OSError, "no such file"),
    "a split for a text": (lambda m, n: m.evaluate("val"), ValueError, "split='val'"),
    "a share for a text": (lambda m, n: cl.MLP().fit(n, val=0.1), TypeError, "`split`"),
    "a word for a number": (lambda m, n: cl.MLP(steps="many").fit(n), ValueError, '"many", and must be a whole number'),
    "half a step": (lambda m, n: cl.MLP(steps=2.5).fit(n), ValueError, "whole number"),
    "a word it does not have": (lambda m, n: cl.MLP(activation="Relu").fit(n), ValueError, "there is no `Relu`; there is `tanh`"),
    "a width without a list": (lambda m, n: cl.MLP(hidden="200").fit(n), ValueError, "must be a list"),
    "settings without names": (lambda m, n: cl.MLP(200), TypeError, "MLP.__init__"),
    "a hot temperature": (lambda m, n: m.sample(temperature="hot"), TypeError, "temperature must be a number"),
    "adapting, yes": (lambda m, n: m.evaluate(adapt=True), TypeError, "adapt must be a number"),
    "a number as a prefix": (lambda m, n: m.sample(prefix=3), TypeError, "prefix must be a str"),
    "history before a fit": (lambda m, n: cl.MLP().history_, ValueError, "not fitted"),
    "no state": (lambda m, n: m.load_state_dict(None), TypeError, "dict of names and arrays"),
    "no module": (lambda m, n: m.from_torch(3), TypeError, "PyTorch module"),
    "models without a list": (lambda m, n: cl.mix(m, n), TypeError, "a list of models"),
    "no model among models": (lambda m, n: cl.compare([m, 3], n), TypeError, r"models\[1\] is int"),
    "models without names": (lambda m, n: cl.classify([m], n), TypeError, "dict of names and models"),
    "text before a model": (lambda m, n: cl.Trainer(n, m), TypeError, "such as MLP"),
    "a class for a model": (lambda m, n: cl.Trainer(cl.MLP, n), TypeError, "the class MLP"),
    "text before a size": (lambda m, n: cl.sized(n, "tiny"), TypeError, "size must be a str"),
    "no such split": (lambda m, n: m.evaluate(split="tast"), ValueError, "split"),
    "a state without a tensor": (lambda m, n: m.load_state_dict({}), ValueError, "missing"),
    "a state of another shape": (
        lambda m, n: m.load_state_dict({k: np.zeros((2, 2)) for k in m.state_dict()}), ValueError, "was given"),
    "a state with NaN": (
        lambda m, n: m.load_state_dict({k: v * float("nan") for k, v in m.state_dict().items()}), ValueError, "finite"),
    "one probability for all": (lambda m, n: m.top(-1), ValueError, "n -1"),
    "more than there can be": (lambda m, n: m.top(2**62, max_length=40), ValueError, "ask for fewer"),
    "a huge number of seeds": (lambda m, n: cl.MLP(seeds=10**6).fit(n), ValueError, "seeds"),
    "an object for a setting": (lambda m, n: cl.MLP(hidden=object()).fit(n), TypeError, "hidden"),
    "a model for a path": (lambda m, n: cl.MLP(teacher=m).fit(n), TypeError, "teacher"),
    "one model to mix": (lambda m, n: cl.mix([m]), ValueError, "two models"),
    "no model to compare": (lambda m, n: cl.compare({"a": m}, n), ValueError, "two models"),
    "no model to classify": (lambda m, n: cl.classify({}, n), ValueError, "one model"),
    "a beginning with a character it has not": (lambda m, n: m.predict_proba(["Q"]), ValueError, "U\\+0051"),
    "a number to surprise": (lambda m, n: m.surprise(3), TypeError, "str"),
    "half a character": (lambda m, n: cl.MLP().fit(["ab", "c\ud800"]), ValueError, r"X\[1\] has half a character"),
    "half a character in a text": (lambda m, n: cl.MLP().fit("ab\ud800"), ValueError, "half a character"),
    "half a character to score": (lambda m, n: m.score_samples(["\ud800"]), ValueError, r"X\[0\] has half a character"),
    "half a character as a prefix": (lambda m, n: m.sample(prefix="\ud800"), ValueError, "prefix has half a character"),
    "half a character in a word": (lambda m, n: cl.MLP(optimizer="\ud800").fit(n), ValueError, "`optimizer` has half"),
    "a path that is bytes": (lambda m, n: cl.MLP().fit(BytesPath()), ValueError, "nowhere: no such file"),
    "a folder": (lambda m, n: cl.MLP().fit(os.path.dirname(__file__)), OSError, "is a folder"),
    "two columns": (lambda m, n: cl.MLP().fit(np.array([n, n]).T), TypeError, "2 columns"),
    "an empty place": (lambda m, n: cl.MLP(steps=2).fit(n, out=""), ValueError, "`out` is empty"),
    "a word for a flag": (lambda m, n: cl.MLP(steps=2).fit(n, force="no"), TypeError, "force must be True or False"),
    "a number for a flag": (lambda m, n: m.sample(unique=1), TypeError, "unique must be True or False"),
    "a word for the progress": (lambda m, n: cl.MLP(steps=2).fit(n, progress="yes"), ValueError, "'auto'"),
    "no callbacks": (lambda m, n: cl.MLP(steps=2).fit(n, callbacks=None), TypeError, "callbacks must be a list"),
    "NaN in a list": (lambda m, n: cl.MLP(hidden=(float("nan"),)).fit(n), ValueError, "`hidden` nan"),
    "a rate in a list": (lambda m, n: cl.MLP(lr=[0.1]).fit(n), ValueError, "`lr`: it is sequence, and must be a number"),
    "more than 64 bits": (lambda m, n: cl.MLP(seed=10**5000).fit(n), ValueError, "`seed` is out of range"),
    "n of more than 64 bits": (lambda m, n: m.sample(10**5000), ValueError, "n of 16610 bits"),
    "lists without end": (lambda m, n: cl.MLP(hidden=endless()).fit(n), TypeError, "`hidden` has lists in lists"),
    "a word of a megabyte": (lambda m, n: cl.MLP(optimizer="x" * 10**6).fit(n), ValueError, r"^.{100,1999}$"),
    "a width like no number": (lambda m, n: cl.MLP(hidden=2**64).fit(n), ValueError, "`hidden` is out of range"),
    "one of two words": (lambda m, n: cl.MLP(mode="words").fit(n), ValueError, "no `words`; there is `lines` or `text`"),
    "a number for a path": (lambda m, n: cl.MLP(init_from=3).fit(n), ValueError, "must be a path"),
    "a share for three": (lambda m, n: cl.MLP(split="a").fit(n), ValueError, "must be as many numbers as 3"),
    "a diverging rate": (lambda m, n: cl.MLP(lr=1e30, steps=9).fit(n), cl.CharloomError, "NaN; a `lr` lower than .* may help$"),
    "many numbers for n": (lambda m, n: m.sample(np.array([3])), TypeError, "n must be a whole number"),
    "many temperatures": (lambda m, n: m.sample(temperature=np.ones(2)), TypeError, "temperature must be a number"),
    "a temperature like no float": (lambda m, n: m.sample(temperature=10**400), ValueError, "temperature is out of range"),
    "a pattern of bytes": (lambda m, n: m.sample(pattern=re.compile(b"a")), TypeError, "pattern must be a regular"),
    "a number for a stream": (lambda m, n: m.sample(stream=3), TypeError, "stream must be a str"),
    "complex numbers": (lambda m, n: m.load_state_dict({k: v + 1j for k, v in m.state_dict().items()}), TypeError, "complex"),
    "words for numbers": (lambda m, n: m.load_state_dict({k: "1" for k in m.state_dict()}), TypeError, "real numbers"),
    "a name that is none": (lambda m, n: m.load_state_dict({**m.state_dict(), 3: np.zeros(1)}), ValueError, "has no 3"),
    "the state of counts": (lambda m, n: cl.Ngram(order=2).fit(n).load_state_dict({}), ValueError, "a model that counts"),
    "a weight that is a word": (lambda m, n: cl.mix([m, m], n, weights=["a", 1]), TypeError, r"weights\[0\] must be a number"),
    "one weight for all": (lambda m, n: cl.mix([m, m], n, weights=3), TypeError, "weights must be a list"),
    "a study of NaN": (lambda m, n: cl.sweep({"lr": [float("nan")]}, base=cl.MLP(), data=n), ValueError, "`lr` nan"),
    "a study of objects": (lambda m, n: cl.sweep({"lr": [object()]}, base=cl.MLP(), data=n), TypeError, "`lr` is object"),
    "a study of too much": (lambda m, n: cl.sweep({"embed": range(10**6)}, base=cl.MLP(), data=n), ValueError, "at most 1000"),
    "a sampler it has not": (
        lambda m, n: cl.sweep({"embed": [2]}, base=cl.MLP(), data=n, sampler="x"), ValueError, "`sampler`: there is no `x`"),
    "trials, yes": (lambda m, n: cl.sweep({"embed": [2]}, base=cl.MLP(), data=n, trials=True), TypeError, "trials must"),
    "seconds without end": (
        lambda m, n: cl.sweep({"embed": [2]}, base=cl.MLP(), data=n, max_seconds=float("nan")), ValueError, "`max_seconds` nan"),
    "seeds by hand": (lambda m, n: cl.Trainer(cl.MLP(seeds=2), n), ValueError, "`seeds` has no effect"),
    "a split by number": (lambda m, n: cl.Trainer(cl.MLP(steps=2), n).evaluate(3), TypeError, "split must be a str"),
    "a model of nothing": (lambda m, n: cl.Trained(3), TypeError, "made by load"),
    "no such data set": (lambda m, n: cl.datasets.load("nimes"), ValueError, "nimes"),
    "no such preset": (lambda m, n: cl.preset("bengoi"), ValueError, "bengio"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_named(case, mlp, names):
    call, kind, words = WRONG[case]
    with pytest.raises(kind, match=words):
        call(mlp, names)


def test_bytes_that_are_cut_or_flipped_are_refused(mlp):
    data, random_ = mlp._model.to_bytes(), random.Random(1)
    for _ in range(200):
        broken = bytearray(data[: random_.randrange(len(data))] if random_.random() < 0.5 else data)
        if len(broken) == len(data):
            broken[random_.randrange(len(broken))] ^= 1 << random_.randrange(8)
        with pytest.raises(cl.CharloomError):
            type(mlp._model).from_bytes(bytes(broken))


def test_of_fits_that_begin_at_once_one_is_made(names):
    model, ended, gate = cl.MLP(hidden=(8,), steps=20), [], threading.Barrier(5)

    def slowly():
        gate.wait(60)
        for name in names:
            yield name
            time.sleep(1e-4)

    def fit():
        try:
            model.fit(slowly())
            ended.append("fitted")
        except cl.CharloomError as error:
            ended.append("another call" in str(error))
            gate.wait(60)

    threads = [threading.Thread(target=fit) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(map(str, ended)) == ["True"] * 4 + ["fitted"] and len(model.sample(2)) == 2


def test_two_fits_at_once_are_refused(names):
    model, begun = cl.MLP(hidden=(8,), steps=10**9, log_every=1000), threading.Event()

    class Stop(Exception):
        pass

    def callback(event):
        begun.set()
        if stop.is_set():
            raise Stop

    stop, raised = threading.Event(), []

    def fit():
        try:
            model.fit(names, callbacks=[callback])
        except Stop:
            raised.append(True)

    thread = threading.Thread(target=fit)
    thread.start()
    assert begun.wait(60)
    with pytest.raises(cl.CharloomError, match="another call"):
        model.fit(names)
    stop.set()
    # The first event after this is at most a step of the log away.
    model_is_stopped = threading.Event()
    thread.join(120)
    assert raised == [True] and not thread.is_alive() and not model_is_stopped.is_set()


LONG = {
    "fit": lambda m, names: m.fit(names),
    "a step by hand": lambda m, names: cl.Trainer(m, names).step(10**8),
    "sample": lambda m, names: cl.Ngram(order=3).fit(names).sample(10**9),
    "top": lambda m, names: cl.Transformer(steps=1).fit(names[:200]).top(10**6, max_length=30),
    "sweep": lambda m, names: cl.sweep({"embed": [2, 3]}, base=m, data=names),
    "one long sample": lambda m, names: cl.RNN(steps=1).fit(" ".join(names)).sample(1, max_length=10**9),
    "one long text": lambda m, names: cl.GRU(steps=1).fit(names).surprise("a" * 10**7),
    "many beginnings": lambda m, names: cl.GRU(steps=1).fit(names).predict_proba(names * 1000),
    "many to score": lambda m, names: cl.GRU(hidden=256, steps=1).fit(names).score_samples(["a" * 10**6] * 9),
    "a mixture": lambda m, names: cl.mix([cl.GRU(hidden=256, steps=1).fit(names[:200])] * 60, names * 4),
    "steps by hand, evaluated": lambda m, names: [cl.Trainer(cl.GRU(), names * 4).evaluate("train") for _ in range(99)],
    "a large step": lambda m, names: cl.MLP(hidden=(512,), steps=10**7, batch=1024, eval_size=0).fit(names),
}


@pytest.mark.parametrize("what", LONG)
def test_ctrl_c_ends_it_soon_and_keeps_the_best(names, what):
    # What was started in the background by a shell passes over Ctrl-C; Python then does too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    model, sent = cl.MLP(hidden=(16,), steps=10**8, eval_every=200), []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(1.5, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        LONG[what](model, names)
    took = time.monotonic() - sent[0]
    timer.join()
    # It is 0.2 s on a machine that does nothing else (docs/log.md).
    assert took < 5.0
    if what == "fit":
        assert len(model.sample(3)) == 3
    assert len(cl.Ngram(order=2).fit(names).sample(3)) == 3


def test_the_list_may_change_after_it_was_given(names):
    own = list(names)
    model = cl.MLP(hidden=(8,), steps=20).fit(own, callbacks=[lambda e: own.clear()])
    assert len(model.sample(2)) == 2


def test_a_forked_child_samples_and_fits(mlp, names):
    pid = os.fork()
    if pid == 0:
        ok = mlp.sample(3) and cl.MLP(hidden=(8,), steps=20).fit(names).sample(1)
        os._exit(0 if ok else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_thousand_random_calls(mlp, names):
    r = random.Random(7)
    things = [
        None, True, -1, 0, 1, 3, 2**63, 2**64, 10**30, 1.5, float("nan"), float("inf"), "", "emma", "Q", "\ud800",
        b"x", [], ["emma"], ["Q", 1], [None], {}, object(), np.zeros(3), np.array(["emma"]), (1, 2), "x" * 3000,
    ]
    calls = [
        lambda: mlp.sample(r.choice([1, 2, -1, None, 1.5]), **{r.choice(
            ["seed", "temperature", "top_k", "top_p", "prefix", "min_length", "max_length", "novel", "unique"]): r.choice(things)}),
        lambda: mlp.score_samples(r.choice(things)),
        lambda: mlp.predict_proba(r.choice(things)),
        lambda: mlp.surprise(r.choice(things)),
        lambda: mlp.evaluate(r.choice(things)),
        lambda: mlp.load_state_dict(r.choice(things)),
        lambda: cl.MLP(**{r.choice(list(cl.MLP().get_params())): r.choice(things), }).set_params(steps=2, hidden=(4,)).fit(names[:50]),
        lambda: cl.load(r.choice(things)),
        lambda: cl.scalar.Value(r.choice(things)) ** r.choice(things),
        lambda: cl.compare(r.choice(things), r.choice(things)),
        lambda: mlp.top(r.choice([3, -1, None, 1.5]), **{r.choice(["prefix", "max_length"]): r.choice(things)}),
        lambda: mlp.sample(2, pattern=r.choice([*things[:8], "a.*", "(", 3, b"x"])),
        lambda: cl.sweep({r.choice(["embed", "lr", "x"]): r.choice(things)}, base=cl.MLP(hidden=(4,), steps=2), data=names[:50]),
        lambda: cl.mix(r.choice([[mlp, mlp], [mlp], [], None]), r.choice(things)),
        lambda: mlp.export(r.choice(things)),
        lambda: cl.MLP(hidden=(4,), steps=2).fit(names[:50], threads=r.choice(things), progress=False),
        lambda: mlp.evaluate(names[:9], **{r.choice(["adapt", "adapt_segment", "stride", "unknown", "split"]): r.choice(things)}),
        lambda: cl.Trainer(cl.MLP(hidden=(4,), steps=2), names[:50]).step(r.choice([1, 2, -1, None, 2.5, "a"])),
        lambda: cl.datasets.load(r.choice(things)),
    ]
    failed = 0
    for _ in range(1000):
        try:
            r.choice(calls)()
        except (cl.CharloomError, TypeError, ValueError, OverflowError, AttributeError, OSError):
            failed += 1
    assert 300 < failed < 1000

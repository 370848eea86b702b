"""The command that the package brings, beside what Python computes."""

import re
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import charloom as cl
import numpy as np
import pytest

COMMANDS = [[sys.executable, "-m", "charloom"], [str(Path(sysconfig.get_path("scripts")) / "charloom")]]


def run(*arguments, **how):
    return subprocess.run([*COMMANDS[0], *map(str, arguments)], capture_output=True, text=True, timeout=300, **how)


@pytest.mark.parametrize("command", COMMANDS, ids=["-m", "script"])
def test_it_is_the_command(command):
    said = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0 and said.stdout.strip() == f"charloom {cl.__version__}"
    wrong = subprocess.run([*command, "trian"], capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2 and "trian" in wrong.stderr and "Traceback" not in wrong.stderr


@pytest.mark.parametrize("generator", ["separate", "shared"])
def test_equal_seeds_give_equal_bytes(tmp_path, generator):
    names = cl.datasets.load("names")
    (tmp_path / "n.txt").write_text("\n".join(names) + "\n")
    flags = ["--hidden", "16", "--steps", "300", "--seed", "5", "--generator", generator]
    done = run("train", tmp_path / "n.txt", "--out", tmp_path / "theirs", *flags)
    assert done.returncode == 0, done.stderr
    ours = cl.MLP(hidden=(16,), steps=300, seed=5, generator=generator).fit(tmp_path / "n.txt", out=tmp_path / "ours")
    theirs = cl.load(tmp_path / "theirs")
    state = theirs.state_dict()
    assert all((array == state[name]).all() for name, array in ours.state_dict().items())
    files = [(tmp_path / run / "best.safetensors").read_bytes() for run in ("ours", "theirs")]
    assert files[0] == files[1]
    lines = run("sample", tmp_path / "ours", "-n", "200", "--seed", "7").stdout.splitlines()
    assert lines == ours.sample(200, seed=7)
    assert len(theirs.history_) > 3 and "<svg" in theirs._repr_html_()
    of_list = cl.MLP(hidden=(16,), steps=300, seed=5, generator=generator).fit(names)
    assert (of_list.score_samples(names[:50]) == ours.score_samples(names[:50])).all()
    assert np.isfinite(ours.score_samples(names[:50])).all()


SMALL = {"hidden": 16, "embed": 16, "heads": 2, "order": 3, "steps": 20, "batch": 8, "eval_size": 300}


@pytest.mark.parametrize("kind", sorted(cl.CLASSES))
def test_of_every_kind_the_bytes_are_the_commands(tmp_path, kind):
    own = cl.CLASSES[kind]().get_params()
    small = {key: value for key, value in SMALL.items() if key in own}
    flags = [part for key, value in small.items() for part in (f"--{key.replace('_', '-')}", value)]
    (tmp_path / "n.txt").write_text("\n".join(cl.datasets.load("names")[:3000]) + "\n")
    done = run("train", tmp_path / "n.txt", "--model", kind, *flags, "--out", tmp_path / "theirs")
    assert done.returncode == 0, done.stderr
    model = cl.CLASSES[kind](**small).fit(tmp_path / "n.txt", out=tmp_path / "ours")
    for file in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "ours" / file).read_bytes() == (tmp_path / "theirs" / file).read_bytes()
    assert run("sample", tmp_path / "theirs", "-n", "20", "--seed", "7").stdout.splitlines() == model.sample(20, seed=7)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_a_training_in_order(tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen([*COMMANDS[0], "train", "--steps", "100000000", "--out", str(out)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (out / "last.safetensors").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert len(cl.load(out).sample(3)) == 3


def test_the_readme_works(tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parent.parent / "README.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.S)
    monkeypatch.chdir(tmp_path)
    exec(block.replace("20_000", "500"), {})
    said = capsys.readouterr().out
    assert "(1, 27)" in said and "held-out" in said

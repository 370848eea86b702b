"""Writes notebooks/*.ipynb of their cells as below; --run executes every cell, in order, and checks that none fails.

A notebook is data about cells: this file is easier to read, to compare and to mend.
"""

import json
import sys
from pathlib import Path

#: Text is a string, code a list of one.
NOTEBOOKS = {
    "1 the five notebooks": [
        "# The five notebooks, ten cells\n\nBengio et al. 2003 on names, as the notebooks that charloom grew from do it: the same numbers, fast.",
        ["import charloom as cl\n\nnames = cl.datasets.load('names')\nlen(names), names[:5]"],
        "## One scalar\n\nmicrograd's interface: a number that remembers what it was computed from.",
        ["from charloom.scalar import Value\n\nx, w, b = Value(2.0, 'x'), Value(-3.0, 'w'), Value(6.88, 'b')\n"
         "out = (x * w + b).tanh()\nout.backward()\nx.grad, w.grad, out"],
        "## Counting pairs\n\nThe bigram model: how often each character follows each.",
        ["bigram = cl.Ngram(order=2, smoothing='add-k', k=1.0).fit(names)\nbigram.evaluate()['loss'], bigram.sample(5)"],
        "## A net over three characters\n\n001's MLP; its settings are a preset, and keywords beat them.",
        ["mlp = cl.preset('bengio', steps=STEPS).fit(names)\nmlp"],
        ["mlp.predict_proba(['emm'])[0].argmax(), mlp.surprise('emma')"],
        "## Deeper, with BatchNorm",
        ["deep = cl.MLP(context=8, embed=10, hidden=(100, 100), norm='batch', steps=STEPS).fit(names)\n"
         "deep.evaluate(), deep.sample(10)"],
        "## The loop by hand",
        ["t = cl.Trainer(cl.MLP(hidden=(64,), steps=STEPS), names)\nfirst = t.step()\nlast = t.step(STEPS - 1)\n"
         "first, last, t.evaluate('val')"],
    ],
    "2 your own strings": [
        "# Your own strings\n\nA list of strings is all that is needed: names, codes, domains, molecules.",
        ["import random\n\nimport charloom as cl\n\nr = random.Random(1)\n"
         "codes = [f'{r.choice(\"ABC\")}{r.randrange(100, 999)}-{r.choice([\"EU\", \"US\"])}' for _ in range(2000)]\ncodes[:3]"],
        ["model = cl.MLP(context=4, hidden=(64,), steps=STEPS).fit(codes)\nmodel.sample(5)"],
        "Which strings are unusual? The log-likelihood says so; -inf is a character that was never seen.",
        ["model.score_samples(['A123-EU', 'A12-EU', 'Z999-US'])"],
        ["model.surprise('A12-EU')"],
        "Strings that are not in the data, and none twice; those of a pattern; the likeliest of all:",
        ["model.sample(5, novel=True, unique=True), model.sample(3, pattern='C.*-US'), model.top(3)"],
        "It is an ordinary object: pickled, copied, saved, and read by the command.",
        ["import pickle, tempfile, os\n\nagain = pickle.loads(pickle.dumps(model))\n"
         "path = os.path.join(tempfile.mkdtemp(), 'codes.safetensors')\nagain.save(path)\ncl.load(path).sample(3)"],
    ],
    "3 comparing": [
        "# Comparing models\n\nIs a lower loss luck? A paired test over strings says.",
        ["import charloom as cl\n\nnames = cl.datasets.load('names')\ntrain, held_out = names[:-3000], names[-3000:]"],
        ["models = {\n    'counts of 3': cl.Ngram(order=3).fit(train),\n    'counts of 5': cl.Ngram(order=5).fit(train),\n"
         "    'mlp': cl.MLP(hidden=(128,), steps=STEPS).fit(train),\n}\ncl.compare(models, held_out)"],
        "Which model explains a string best? That is a classifier.",
        ["numbers = cl.Ngram(order=2).fit([str(i) for i in range(1000)])\n"
         "cl.classify({'name': models['counts of 5'], 'number': numbers}, ['emma', '1234'])"],
        "Together they are better than the best of them: a mixture, weighed on strings that none has seen.",
        ["mixed = cl.mix(list(models.values()), held_out[:1500])\n"
         "mixed.weights_, cl.compare(models | {'mixture': mixed}, held_out[1500:])"],
        "A study tries settings, on all cores; its best model is trained like any other.",
        ["study = cl.sweep({'embed': [2, 8], 'lr': [0.03, 0.3]}, base=cl.MLP(hidden=(16,), steps=STEPS), data=train[:2000])\nstudy"],
        ["best = study.best_model_.fit(train)\nbest.evaluate(held_out), study.importance_"],
        "scikit-learn's tools do too, if it is at hand.",
        ["try:\n    from sklearn.model_selection import GridSearchCV\nexcept ImportError:\n    best = None\nelse:\n"
         "    search = GridSearchCV(cl.MLP(hidden=(16,), steps=200), {'embed': [2, 8]}, cv=2).fit(train[:2000])\n"
         "    best = search.best_params_\nbest"],
    ],
}


def notebook(cells: list[str | list[str]], steps: int) -> dict:
    made = []
    for i, cell in enumerate(cells):
        is_text = isinstance(cell, str)
        source = cell if is_text else cell[0].replace("STEPS", str(steps))
        base = {"id": f"cell-{i}", "metadata": {}, "source": source.splitlines(keepends=True)}
        code = {"cell_type": "code", "execution_count": None, "outputs": []}
        made.append(base | ({"cell_type": "markdown"} if is_text else code))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def main() -> None:
    folder = Path(__file__).parent / "notebooks"
    for name, cells in NOTEBOOKS.items():
        made = notebook(cells, 10_000)
        path = folder / f"{name.replace(' ', '-')}.ipynb"
        text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
        if "--check" in sys.argv and path.read_text() != text:
            sys.exit(f"{path.name} is not what make_notebooks.py makes; run it again")
        path.write_text(text)
        if "--run" in sys.argv:
            names: dict = {}
            for cell in notebook(cells, 200)["cells"]:
                if cell["cell_type"] == "code":
                    exec("".join(cell["source"]), names)
            print(f"{path.name}: {len(made['cells'])} cells, all run")


main()

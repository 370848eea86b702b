"""PyTorch, eager, in its own modules and with a fused optimizer, as a peer of family.py."""

import os
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn

import family_common

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "fixtures"))
import make_decoders


class Recurrent(nn.Module):
    def __init__(self, vocab, kind, embed, hidden, layers, **_):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.rnn = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[kind](embed, hidden[0], layers, batch_first=True)
        self.output = nn.Linear(hidden[0], vocab)
        self.state = None

    def forward(self, x, carried=False):
        y, state = self.rnn(self.embedding(x), self.state if carried else None)
        if carried:
            self.state = tuple(part.detach() for part in state)
        return self.output(y)


class Mlp(nn.Module):
    def __init__(self, vocab, context, embed, hidden, norm, **_):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        widths = [context * embed] + hidden
        self.linears = nn.ModuleList(nn.Linear(m, n, bias=norm == "none") for m, n in zip(widths, hidden))
        self.norms = nn.ModuleList(nn.BatchNorm1d(n) if norm == "batch" else nn.Identity() for n in hidden)
        self.output = nn.Linear(hidden[-1], vocab)

    def forward(self, x):
        x = self.embedding(x).flatten(1)
        for linear, norm in zip(self.linears, self.norms):
            x = norm(linear(x)).tanh()
        return self.output(x)


class WaveNet(nn.Module):
    def __init__(self, vocab, context, embed, hidden, **_):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        hidden = hidden[0]
        widths = [embed] + [hidden] * (context.bit_length() - 1)
        self.linears = nn.ModuleList(nn.Linear(2 * n, hidden, bias=False) for n in widths[:-1])
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden) for _ in widths[1:])
        self.output = nn.Linear(hidden, vocab)

    def forward(self, x):
        x = self.embedding(x)
        for linear, norm in zip(self.linears, self.norms):
            x = linear(x.view(x.shape[0], x.shape[1] // 2, -1))
            x = norm(x.flatten(0, 1)).view_as(x).tanh()
        return self.output(x[:, 0])


def attention(self, x):
    b, t, c = x.shape
    q, k, v = (y.view(b, t, self.heads, -1).transpose(1, 2) for y in self.c_attn(x).split(c, -1))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return self.c_proj(y.transpose(1, 2).reshape(b, t, c))


make_decoders.Attention.forward = attention


class Torch:
    """A case."""

    def __init__(self, case):
        torch.manual_seed(1)
        model, train, is_text = case["model"], case["train"], case["is_text"]
        self.batch, self.context = train["batch"], model["context"]
        if is_text:
            text, vocab = family_common.text_of(case["file"])
            self.text = torch.tensor(text)
        else:
            x, y, vocab = family_common.words_of(case["file"])
            self.context = self.context or x.shape[1]
        if model["kind"] == "transformer":
            settings = {key: value for key, value in model.items() if key not in ("kind", "context", "hidden")}
            self.model = make_decoders.Transformer(vocab, self.context, **settings)
            self.model.draw(torch.Generator().manual_seed(1))
            self.draw = self.pieces if is_text else self.words
        elif model["kind"] in ("mlp", "wavenet"):
            self.model = {"mlp": Mlp, "wavenet": WaveNet}[model["kind"]](vocab, **model)
            x, y = family_common.windows_of(x, y, self.context)
            self.draw = self.words
        else:
            self.model, self.draw = Recurrent(vocab, **model), self.streams if is_text else self.words
        if not is_text:
            self.x, self.y = torch.tensor(x), torch.tensor(y)
        if train["optimizer"] == "sgd":
            self.optimizer = torch.optim.SGD(self.model.parameters(), train["lr"], fused=True)
        else:
            self.optimizer = torch.optim.AdamW(self.model.parameters(), train["lr"], fused=True)
        self.carried, self.at = {"carried": True} if self.draw == self.streams else {}, 0

    def words(self):
        """A batch of words; for mlps and wavenets, of windows."""
        ix = torch.randint(0, len(self.x), (self.batch,))
        return self.x[ix], self.y[ix]

    def pieces(self):
        offsets = torch.randint(0, len(self.text) - self.context, (self.batch,))
        at = offsets[:, None] + torch.arange(self.context)
        return self.text[at], self.text[at + 1]

    def streams(self):
        each = (len(self.text) - 1) // self.batch
        if self.at + self.context > each:
            self.at, self.model.state = 0, None
        x = self.text[: self.batch * each].view(self.batch, each)[:, self.at : self.at + self.context]
        y = self.text[1 : self.batch * each + 1].view(self.batch, each)[:, self.at : self.at + self.context]
        self.at += self.context
        return x, y

    def parameters(self):
        return sum(p.numel() for p in self.model.parameters())

    def step(self):
        x, y = self.draw()
        logits = self.model(x, **self.carried)
        loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1), ignore_index=-1)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def wait(self):
        """Does nothing: PyTorch is done when a step returns."""


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    family_common.serve(f"PyTorch {torch.__version__}", Torch)

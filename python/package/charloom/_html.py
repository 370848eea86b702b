"""What a notebook shows. There is no script in it, and whatever comes from data is escaped."""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STYLE = "font-family:system-ui,sans-serif;font-size:13px"


def escape(text: object) -> str:
    """Text as HTML has it."""
    import html

    return html.escape(str(text))


class Surprise(list):
    """(character, log-probability) pairs, the less likely the redder in a notebook."""

    def _repr_html_(self) -> str:
        def cell(character: str, log_prob: float) -> str:
            share = min(1.0, max(0.0, -log_prob / 6.0)) if math.isfinite(log_prob) else 1.0
            title = f"{-log_prob:.2f} nats, p {math.exp(log_prob):.4f}"
            return (
                f'<span title="{title}" style="background:rgba(220,50,40,{share:.2f});padding:2px 3px;'
                f'border-radius:3px;font-family:monospace">{escape(character)}</span>'
            )

        total = sum(log_prob for _, log_prob in self)
        return f'<div style="{_STYLE}">{"".join(cell(*pair) for pair in self)} &nbsp; {total:.2f} nats</div>'


def curve(history: list[dict[str, Any]], width: int = 420, height: int = 160) -> str:
    """The losses of a fit as SVG."""
    series = [
        ("batch", "#b8c4d6", [(e["step"], e["loss"]) for e in history if "loss" in e]),
        ("train", "#3b6fb6", [(e["step"], e["train_loss"]) for e in history if e.get("train_loss") is not None]),
        ("validation", "#d9722e", [(e["step"], e["val_loss"]) for e in history if e.get("val_loss") is not None]),
    ]
    series = [(name, colour, points) for name, colour, points in series if points]
    if not series:
        return ""
    steps = max(step for _, _, points in series for step, _ in points) or 1
    losses = sorted(loss for _, _, points in series for _, loss in points)
    low, high = losses[0], max(losses[int(0.98 * (len(losses) - 1))], losses[0] + 1e-9)

    def place(step: float, loss: float) -> str:
        x = 40 + (width - 50) * step / steps
        y = 10 + (height - 30) * (1 - (min(loss, high) - low) / (high - low))
        return f"{x:.1f},{y:.1f}"

    lines = "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="'
        + " ".join(place(step, loss) for step, loss in points) + '"/>'
        for _, colour, points in series
    )
    legend = "".join(
        f'<text x="{60 + 90 * i}" y="{height - 4}" fill="{colour}" font-size="11">{name}</text>'
        for i, (name, colour, _) in enumerate(series)
    )
    ends = (
        f'<text x="2" y="16" font-size="10" fill="#888">{high:.3f}</text>'
        f'<text x="2" y="{height - 20}" font-size="10" fill="#888">{low:.3f}</text>'
    )
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}">{lines}{ends}{legend}</svg>'


def model(of: Any) -> str:
    """A model's settings, and its curve if it was fitted here."""
    fitted = of._model is not None
    settings = of.config_["model"] if fitted else {"kind": of.kind, **of.get_params()}
    rows = "".join(
        f"<tr><td>{escape(key)}</td><td>{escape(value)}</td></tr>"
        for key, value in settings.items() if value is not None
    )
    said = f"{of.n_parameters_:,} parameters" if fitted and of.n_parameters_ else "" if fitted else "not fitted"
    picture = curve(getattr(of, "history_", []))
    title = escape(type(of).__name__)
    return f'<div style="{_STYLE}"><b>{title}</b> {said}<table>{rows}</table>{picture}</div>'

"""How scores are shown and stored, whatever was judged.

A report is printed with the protocol that it was made under, in full.
"""

import csv
import io
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any


class Report(ABC):
    """The outcome of an evaluation; its subclasses say of what."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What was judged."""

    @property
    @abstractmethod
    def headline(self) -> str:
        """The main scores in one line of Markdown."""

    @abstractmethod
    def choices(self) -> dict[str, Any]:
        """Every choice that decides the scores but the model and the images."""

    @abstractmethod
    def scores(self) -> dict[str, Any]:
        """The scores of the whole, ready for JSON; what is not a number there is None."""

    def figures(self) -> dict[str, float]:
        """The scores that are followed during training, in percent."""
        return {}

    @property
    def score(self) -> float:
        """What checkpoints are ranked by: the first of `figures` that is a number."""
        return next((x for x in self.figures().values() if not math.isnan(x)), math.nan)

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """The scores of the parts, such as classes: the same fields in each."""

    @property
    def parts(self) -> str:
        """What JSON calls the rows."""
        return "per_class"

    def notes(self) -> Iterator[str]:
        """Lines of Markdown to put below the tables."""
        yield from ()

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {"protocol": self.choices(), **self.scores(), self.parts: self.rows()}

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """The rows of `rows`, with a header."""
        buffer = io.StringIO()
        rows = self.rows()
        writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return buffer.getvalue()

    def to_markdown(self) -> str:
        """The scores, the protocol in full, and a table of the parts."""
        choices = [
            {"choice": name, "value": "; ".join(value) if isinstance(value, list) else str(value)}
            for name, value in self.choices().items()
        ]
        blocks = [f"## {self.title}", self.headline, table(choices), table(self.rows())]
        return "\n\n".join([*blocks, *self.notes()]) + "\n"

    def files(self) -> dict[str, bytes]:
        """The report in three forms, by file name."""
        return {
            "report.md": self.to_markdown().encode(),
            "report.json": self.to_json().encode(),
            "report.csv": self.to_csv().encode(),
        }


def table(rows: list[dict[str, Any]]) -> str:
    """A table in Markdown: texts on the left, numbers on the right, shares with two decimals."""
    names = list(rows[0])
    texts = {name: isinstance(rows[0][name], str) for name in names}
    lines = [
        " | ".join(name.replace("_", " ") for name in names),
        " | ".join("---" if texts[name] else "---:" for name in names),
        *(" | ".join(_cell(row[name]) for name in names) for row in rows),
    ]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value.replace("|", "\\|")
    return str(value) if isinstance(value, int) else shown(value)


def percent(share: float) -> float | None:
    """A share in percent; None if it is not a number."""
    return None if math.isnan(share) else round(100 * float(share), 4)


def shown(value: float | None) -> str:
    """Two decimals, as scores are published; a dash for what is not a number."""
    return "–" if value is None or math.isnan(value) else f"{value:.2f}"

"""One comparison, and the list of them."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

TOLERANCES = {
    "module": 1e-5,
    "model": 1e-4,
    "gradient": 1e-4,  # relative, in L2 over a parameter
    "exact": 0.0,
}
"""The tolerances of the project, in one place; none is loosened to pass."""

NOISE_FACTOR = 3.0
"""How many times the reference's own float32 noise is allowed, where the reference states it."""


@dataclass(frozen=True)
class Check:
    """One array compared."""

    file: str
    array: str
    difference: float
    tolerance: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the difference is within the tolerance; NaN never is."""
        return self.difference <= self.tolerance


@dataclass
class Report:
    """All comparisons of a folder, and what was left out."""

    checks: list[Check] = field(default_factory=list)
    unchecked: list[tuple[str, str, str]] = field(default_factory=list)

    def compare(
        self,
        file: str,
        array: str,
        ours: object,
        reference: object,
        tolerance: float,
        note: str = "",
    ) -> None:
        """Records the largest absolute difference; two NaN are equal."""
        ours, reference = np.asarray(ours), np.asarray(reference)
        if ours.shape != reference.shape:
            self.checks.append(
                Check(file, array, np.inf, tolerance, f"shape {ours.shape} not {reference.shape}")
            )
            return
        both_nan = np.isnan(ours) & np.isnan(reference) if ours.dtype.kind == "f" else False
        difference = np.where(
            both_nan, 0.0, np.abs(ours.astype(np.float64) - reference.astype(np.float64))
        )
        largest = float(difference.max(initial=0.0))
        self.checks.append(Check(file, array, largest, tolerance, note))

    def record(
        self, file: str, array: str, difference: float, tolerance: float, note: str = ""
    ) -> None:
        """Records a difference measured elsewhere."""
        self.checks.append(Check(file, array, float(difference), tolerance, note))

    def skip(self, file: str, array: str, reason: str) -> None:
        """Records what was not compared, and why."""
        self.unchecked.append((file, array, reason))

    def account(self, file: str, arrays: set[str]) -> None:
        """Lists the arrays of a file that nothing compared or skipped by name."""
        seen = {check.array for check in self.checks if check.file == file}
        seen |= {array for name, array, _ in self.unchecked if name == file}
        for array in sorted(arrays - seen):
            self.skip(file, array, "no comparison is written for it")

    @property
    def failures(self) -> list[Check]:
        """The comparisons outside their tolerance."""
        return [check for check in self.checks if not check.passed]

    def table(self, *, everything: bool = True) -> str:
        """Rows of file, array, difference, tolerance and verdict; then what was left out."""
        rows = [
            f"{check.file:24} {check.array:72} {check.difference:11.3e} {check.tolerance:9.1e} "
            f"{'pass' if check.passed else 'FAIL'} {check.note}".rstrip()
            for check in (self.checks if everything else self.failures)
        ]
        head = f"{'file':24} {'array':72} {'difference':>11} {'tolerance':>9} verdict"
        reasons = Counter((file, reason) for file, _, reason in self.unchecked)
        left = [f"not checked: {file}: {n} arrays: {why}" for (file, why), n in reasons.items()]
        passed = len(self.checks) - len(self.failures)
        total = f"{passed} passed, {len(self.failures)} failed, {len(self.unchecked)} not checked"
        return "\n".join([head, *rows, *left, total])

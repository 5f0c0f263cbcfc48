"""A profile of a few steps, for TensorBoard's profiler or Perfetto."""

import logging
from pathlib import Path
from types import TracebackType

import jax

logger = logging.getLogger(__name__)

AFTER = 5
"""Steps that a run does before it is traced: compiling is not what a trace is for."""
STEPS = 3


class Trace:
    """Traces `STEPS` steps of a run with `jax.profiler`; as a context it ends with the run."""

    def __init__(self, folder: Path | None, *, first: int) -> None:
        """Plans a trace.

        Args:
          folder: where it goes; None for no trace at all.
          first: steps done when the run starts or resumes.
        """
        self._folder = folder
        self._start, self._end = first + AFTER, first + AFTER + STEPS
        self._running = False

    def due(self, done: int) -> bool:
        """Whether the trace begins or ends after this step, which must be settled for that."""
        return self._folder is not None and done in (self._start, self._end)

    def after(self, done: int) -> None:
        """Begins or ends the trace after a step, if it is the one for that."""
        if self._folder is not None and done == self._start:
            jax.profiler.start_trace(str(self._folder))
            self._running = True
        elif done == self._end:
            self._stop()

    def _stop(self) -> None:
        if self._running:
            jax.profiler.stop_trace()
            logger.info("wrote a trace of up to %d steps to %s", STEPS, self._folder)
        self._running = False

    def __enter__(self) -> "Trace":
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends a trace that is still being made."""
        self._stop()

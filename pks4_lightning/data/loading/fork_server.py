"""Preloaded by the process from which workers are forked.

It performs the imports of the workers once, and ignores the same signals.
"""

import pks4_lightning.data.loading.dataset  # noqa: F401 - for the workers
from pks4_lightning.data.loading.worker_process import ignore_signals

ignore_signals()

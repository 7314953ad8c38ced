"""Imported by the process that the workers are forked from, and by nothing else.

It has then paid for the workers' imports, and is as deaf to signals as they are.
"""

import pks4_lightning.data.loading.dataset  # noqa: F401 - for the workers
from pks4_lightning.data.loading.worker_process import ignore_signals

ignore_signals()

"""Two ranks, one of which dies, stops, sleeps or raises: nothing is left, and the cause is said."""

import signal
import time

import pytest

FAULTS = {
    # the fault: what the output says, and whether it takes the watchdog to end the run
    "worker_killed": (r"DataLoader worker|data worker died", False),
    "rank_killed": (r"closed by peer", False),
    "exception_in_forward": (r"planted in the forward pass", False),
    "sleep_in_dataset": (r"in sleep_for_ever", True),
    "rank_stopped": (r"has finished no batch for 15 seconds", True),
}

"""The Lightning side: task, optimisation, metrics, callbacks."""

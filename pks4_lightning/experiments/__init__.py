"""Sets of trainings and tests, run and tabulated."""

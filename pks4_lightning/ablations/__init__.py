"""The paper's ablations, Tables 5 to 9, run again."""

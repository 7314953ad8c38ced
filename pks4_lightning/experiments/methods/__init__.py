"""Compare PKS⁴ with other methods: arms and reports."""

"""Evaluation on real images: which parts of PKS⁴ classify clips that differ in frame order."""

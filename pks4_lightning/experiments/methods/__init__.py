"""PKS⁴ beside the methods that the paper compares it with: as arms, and what came out."""

"""The evidence on real pictures: which parts of PKS⁴ tell clips apart whose order decides."""

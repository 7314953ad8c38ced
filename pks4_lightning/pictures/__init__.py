"""What a person looks at: curves, contact sheets, confusion matrices."""

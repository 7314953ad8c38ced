"""One video: its frames by number, from an encoded file or a folder of pictures."""

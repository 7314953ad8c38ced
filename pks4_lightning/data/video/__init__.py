"""Random access to the frames of a video, from an encoded file or a folder of pictures."""

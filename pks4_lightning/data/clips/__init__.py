"""Make clips of a video's frames: sampling, cropping and augmentation."""

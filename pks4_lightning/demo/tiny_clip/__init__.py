"""The demo's tiny tower, pretrained on images."""

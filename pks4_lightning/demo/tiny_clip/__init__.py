"""The demo's tiny image-pretrained tower."""

"""The demo's videos: textured shapes that move."""

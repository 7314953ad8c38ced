"""The motion bench's videos: cut-outs of real frames that move over real videos."""

"""Videos as they come: windows of long ones, streams, and what happens when."""

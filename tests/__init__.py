"""The tests, the stand-in ComfyUI that they use, and the sandbox."""

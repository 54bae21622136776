"""What real ComfyUI servers said, reduced to facts."""

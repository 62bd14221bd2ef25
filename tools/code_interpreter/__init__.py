"""`code_interpreter`: a model's Python, run in the sandbox of its thread."""

"""What HER2Predict.py is made of.

The MRML logic (everything but ``panel`` and ``*_section``) imports slicer and never qt, so that
headless runs and the browser share it. Pixels and networks are the backend's business: they are
asked for in a child process (``tasks``).
"""

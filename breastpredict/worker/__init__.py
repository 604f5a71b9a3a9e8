"""The child process of the Slicer modules: JSON lines in, JSON lines out (design §3)."""

from __future__ import annotations

from breastpredict.worker.client import WorkerClient, worker_command

__all__ = ["WorkerClient", "worker_command"]

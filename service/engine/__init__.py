"""From an API process to the worker that computes, and back.

client.py ──Work──▶ [Unix socket, frames] ──▶ worker.py: inbox → batcher.py → compute.py
    ▲                                                                              │
    └───────Answer, Failure, BatchFacts ◀── [frames, a writer thread a connection] ◀┘
"""

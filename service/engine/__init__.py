"""From an API process to the worker that computes, and back.

client.py ──Work──▶ [Unix socket, frames] ──▶ connections.py ──▶ inbox.py → batcher.py → compute.py
    ▲                                                                                      │
    └───────Answer, Failure, BatchFacts ◀── [frames] ◀── connections.py ◀──────────────────┘
"""

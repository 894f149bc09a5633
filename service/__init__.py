"""The running service.

    server.py   builds everything below and runs it on LitServe: one parent, API processes, workers
      api/      HTTP in an API process: what a client may say, and what it is told. No torch
      engine/   from an API process to the worker that computes, and back
      observe/  stages of a request, and who tells of them: metrics, log lines, spans
    settings.py every setting; imported by all, imports none

A request: bytes → schema → tokenizer → [socket] → batcher → encoder → [socket] → response, metrics.
"""

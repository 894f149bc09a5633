"""The Open Inference Protocol (KServe v2) over HTTP: its forms around the same pipeline.

    body ──binary──▶ JSON and bytes ──request──▶ ClassifyRequest
                                                      │ answering, as /v1/classify does
    body ◀──────────────response────────────────── Inferred

``docs/inference-protocol.md`` goes through the protocol's text, clause by clause.
"""

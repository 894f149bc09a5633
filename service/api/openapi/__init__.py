"""The OpenAPI document: one operation a route, with the types that validate and every error.

    operations ──▶ document ◀── schemas ◀── service/api/schema.py, replies.py, inference_protocol/
                      ▲
    errors ───────────┘

Built once, at start, of what is served: models are listed by their names, bounds as they are set.
"""

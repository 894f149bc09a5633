"""The Grafana dashboards as code: ``python -m deploy.grafana.build`` writes them as JSON.

    queries.py   PromQL that several panels share
    panels.py tables.py    one function a kind of panel
    frame.py     the dashboard around them, and its variables
    gap.py service.py (and engine.py) quality.py    one dashboard each: its panels, in order

No title, threshold or colour says which model ought to be ahead: that is what they measure.
"""

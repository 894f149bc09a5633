"""What a request spent its time on, and how it is told: metrics, log lines, spans."""

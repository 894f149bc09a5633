"""What a request spent its time on, and every metric the service exports."""

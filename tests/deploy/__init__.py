"""What is deployed beside the service, held against the code; tests/real runs it."""

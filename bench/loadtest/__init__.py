"""A load test for Locust, against a running service."""

"""What the service is measured by. Uses the models, and of the service its engine alone."""

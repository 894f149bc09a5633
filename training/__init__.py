"""Data to weights: read, split, distil, fit, calibrate, evaluate. Imports only models/ of ours."""

"""What is made of the trials: ensemble, calibration, threshold."""

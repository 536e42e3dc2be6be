"""What is claimed of speed, measured: ratios, each pair side by side in one run."""

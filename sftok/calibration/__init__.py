"""Calibration of feature spaces: tests whether FID notices known degradations of images."""

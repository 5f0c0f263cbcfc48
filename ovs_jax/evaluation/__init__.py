"""Segmentation with words, and how well it goes."""

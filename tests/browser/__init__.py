"""Tests in a real JupyterLab in real Chromium."""

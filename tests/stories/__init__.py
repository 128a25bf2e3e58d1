"""Whole stories: every notebook a user meets, executed and looked at."""

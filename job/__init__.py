"""The client, which runs once: settings, checks, the path, and its submission."""

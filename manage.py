#!/usr/bin/env python
"""Entry of every command: `manage.py runnode`, `manage.py xmppctl`, and Django's own."""

import os
import sys


def main() -> None:
    """Run the command on the command line, with development settings unless the environment names others."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlink_web.settings.dev")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # A sentence about the environment, for whoever typed it.
        sys.exit(f"CommandError: {error}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python
"""Entry of every command: `manage.py runnode`, `manage.py xmppctl`, and Django's own."""

import os
import sys


def main() -> None:
    """Run the command on the command line, with development settings unless the environment names others."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlink_web.settings.dev")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()

"""What the pages of every app's admin have in common. Knows no app."""

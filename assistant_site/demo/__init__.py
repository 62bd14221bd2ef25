"""The demo model: an OpenAI-compatible endpoint in our own web process, so that everything can be tried offline.

It understands nothing. It says so, quotes what it was told, and follows the small script language of
docs/demo-model.md. It touches no database and keeps nothing but the counters of `fail:…*N`.
"""

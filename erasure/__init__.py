"""The end of things that own much: tenants, and the end users of tenants. docs/deletion.md tells what goes and stays.

Everything goes in small transactions that look at what is still there, so that an erasure can be broken off anywhere
and goes on wherever somebody next takes it up. It knows every app; no app knows it.
"""

"""Faults as a suite: real processes killed, frozen and cut off at named points, and every run judged afterwards.

`make chaos` starts it; docs/chaos.md says what is tried and what is judged.
"""

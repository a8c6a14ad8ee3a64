"""Precision schedules in others' training loops, each module an extra of its own."""

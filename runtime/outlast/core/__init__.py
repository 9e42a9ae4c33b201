"""Ids, clock, errors and the record types that every other layer shares."""

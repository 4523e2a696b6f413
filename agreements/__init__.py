"""Confirms customers' acceptance of the Microsoft Customer Agreement through Partner Center."""

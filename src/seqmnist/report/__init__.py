"""Figures, charts, tables and pages of what was measured."""

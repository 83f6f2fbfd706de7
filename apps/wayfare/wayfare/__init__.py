"""Wayfare: search and book journeys. Slipway's reference application."""

VERSION = "0.1.0"

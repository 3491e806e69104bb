"""Flat tables for tools that speak SQL or read Parquet, kept up to date from both layers."""

"""Flat tables for tools that speak SQL or Parquet, kept up to date from both layers."""

"""The engine that compiles a declaration to a plan of DataFusion, which reads the archive."""

"""What was released when and how it went: records in files, rows and words."""

# Generated from backends/sql/sessiontracker_sql/_async/__init__.py by scripts/generate_sync.py: edit that.

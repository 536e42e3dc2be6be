# Generated from backends/redis/sessiontracker_redis/_async/__init__.py by scripts/generate_sync.py: edit that.

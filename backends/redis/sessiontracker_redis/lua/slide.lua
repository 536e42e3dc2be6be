-- The active session's idle timeout begins anew.
active.slid = ms
active.expires = active.idle > 0 and min(ms + active.idle, active.ends) or active.ends

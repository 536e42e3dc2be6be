-- The slid head of the active session, in its place.
active_lasts = max(active.expires, active.updated + REMEMBERED)
local was = lasts(A)
call('HSET', A, name, fixed(active) .. active.owner)
prolong(A, was, active_lasts)

-- The slid head of the active session, in its place.
active_lasts = math.max(active.expires, active.updated + REMEMBERED)
redis.call('SETRANGE', A, 0, fixed(active))
if real and active_lasts < FOREVER then
  redis.call('PEXPIREAT', A, string.format('%.0f', active_lasts))
end

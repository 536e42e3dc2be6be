-- The slid head of the active session, in its place.
active_lasts = max(active.expires, active.updated + REMEMBERED)
call('SETRANGE', A, 0, fixed(active))
if real and active_lasts < FOREVER then
  call('PEXPIREAT', A, string.format('%.0f', active_lasts))
end

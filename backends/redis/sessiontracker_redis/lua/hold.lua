-- A writer's claim to hold the lock, from ARGV[hold_at] on, and whether it is wrong.
local hold, lost = nil, false
if ARGV[hold_at] ~= '' then
  hold = {
    elsewhere = ARGV[hold_at] == 'elsewhere',
    ticket = ARGV[hold_at + 1],
    token = ARGV[hold_at + 2],
  }
  local lease = lock.lease
  if hold.elsewhere then
    lost = hold.token < lock.token
  else
    lost = not lease or lease.token == CLAIM or lease.ticket ~= hold.ticket
      or lease.token ~= hold.token
  end
end

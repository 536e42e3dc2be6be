-- A writer's claim to hold the lock, from ARGV[hold_at] on, and whether it is wrong.
local hold, lost = ARGV[hold_at], false
local hold_ticket, hold_token = ARGV[hold_at + 1], ARGV[hold_at + 2]
if hold == 'elsewhere' then
  lost = hold_token < lock.token
elseif hold == 'here' then
  lost = lock.lease == CLAIM or lock.ticket ~= hold_ticket or lock.lease ~= hold_token
else
  hold = nil
end

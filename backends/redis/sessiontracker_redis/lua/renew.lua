-- Renew: ticket, token, lease, keep.
--#include clock
--#include record
--#include lock
local whole, matters, changed = false, false, true
--#include load
local lease, token, length = lock.lease, ARGV[3], tonumber(ARGV[4])
if not lease or lease.token == CLAIM or lease.ticket ~= ARGV[2] or lease.token ~= token then
  return { LOST }
end
lease.till = ms + length
lock.kept = lease.till + tonumber(ARGV[5])
--#include commit
return { GRANTED, token, length }

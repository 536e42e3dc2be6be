-- Renew: ticket, token, lease, keep.
--#include base
--#include store
--#include record
--#include lock
local whole, matters, changed = false, false, true
--#include load
local token, length = ARGV[3], tonumber(ARGV[4])
if lock.lease == CLAIM or lock.ticket ~= ARGV[2] or lock.lease ~= token then
  return { LOST }
end
lock.till = ms + length
lock.kept = lock.till + tonumber(ARGV[5])
--#include commit
return token

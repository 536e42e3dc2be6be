-- Renew: ticket, token, lease, keep.
--#include owned/all
load(false)
local token, length = ARGV[3], tonumber(ARGV[4])
if lock.lease == CLAIM or lock.ticket ~= ARGV[2] or lock.lease ~= token then
  return { LOST }
end
lock.till = ms + length
lock.kept = lock.till + tonumber(ARGV[5])
commit()
return token

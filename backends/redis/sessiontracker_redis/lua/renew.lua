-- Renew: ticket, token, lease, keep.
--#include clock
--#include record
--#include lock
--#include writer
load()
local token, length = ARGV[3], tonumber(ARGV[4])
if is_lost({ ticket = ARGV[2], token = token }) then
  return { LOST }
end
lock.lease.till = ms + length
lock.kept = lock.lease.till + tonumber(ARGV[5])
commit()
return { GRANTED, token, length }

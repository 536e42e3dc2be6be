-- Release: ticket, life, age.
--#include base
--#include store
--#include record
--#include lock
--#include leave
local whole, matters = false, false
--#include load
local ticket, life = ARGV[2], ARGV[3]
local answer = { RELEASED }
if life ~= '' and not (active and active.life == life) then
  answer = { not active and finished and IS_FINISHED or MISSING }
end
local changed = leave(ticket)
if not changed and lock.released ~= ticket then
  return { tonumber(ARGV[4]) > 0 and UNKNOWN or LOST }
end
--#include commit
return answer

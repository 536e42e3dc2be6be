-- Release: ticket, life, since.
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
if not changed then
  local again = tonumber(ARGV[4]) > 0
  if lock.released ~= ticket then
    return { again and UNKNOWN or LOST }
  elseif again and answer[1] ~= RELEASED then
    return { UNKNOWN }
  end
end
--#include commit
return answer

-- Release: ticket, life, age.
--#include owned/all
--#include leave
load(false)
local ticket, life = ARGV[2], ARGV[3]
local answer = { RELEASED }
if life ~= '' and not (active and active.life == life) then
  answer = { not active and finished and IS_FINISHED or MISSING }
end
if leave(ticket) then
  commit()
elseif lock.released ~= ticket then
  return { tonumber(ARGV[4]) > 0 and UNKNOWN or LOST }
end
return answer

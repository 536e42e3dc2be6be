-- Release: ticket, life, since.
--#include owned/all
--#include leave
load(false)
local ticket, life = ARGV[2], ARGV[3]
local answer = { RELEASED }
if life ~= '' and not (active and active.life == life) then
  answer = { not active and finished and IS_FINISHED or MISSING }
end
local again = tonumber(ARGV[4]) > 0
if leave(ticket) then
  commit()
elseif lock.released ~= ticket then
  return { again and UNKNOWN or LOST }
elseif again and answer[1] ~= RELEASED then
  return { UNKNOWN }
end
return answer

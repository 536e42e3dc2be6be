-- Release: ticket, life, age.
--#include clock
--#include record
--#include lock
load()
local ticket, life = ARGV[2], ARGV[3]
local answer = { RELEASED }
if life ~= '' and not (active and active.life == life) then
  answer = active and { MISSING } or absent()
end
if leave(ticket) then
  commit()
elseif lock.released ~= ticket then
  return { tonumber(ARGV[4]) > 0 and UNKNOWN or LOST }
end
return answer

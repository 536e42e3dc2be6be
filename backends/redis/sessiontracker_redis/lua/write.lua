-- Write: id, stamp, payload, hold, release, age.
--#include clock
--#include record
--#include lock
--#include leave
local id, age = ARGV[2], tonumber(ARGV[12])
local whole, matters, stamp_at, hold_at, changed = false, age > 0, 3, 7, false
--#include load
--#include hold
if active and active.write == id then
  return { SAVED, fixed(active) .. active.owner }
end
--#include refuse
if ARGV[11] ~= '' and hold and not (refusal and refusal[1] == LOST) then
  changed = leave(hold.ticket)
end
local answer = refusal
if not refusal then
  --#include register
  --#include slide
  active.version, active.write, active.updated = active.version + 1, id, ms
  active_lasts = put(A, active, ARGV[6])
  --#include remember
  changed = true
  answer = { SAVED, fixed(active) .. active.owner }
end
--#include commit
return answer

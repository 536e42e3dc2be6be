-- Write: id, stamp, payload, hold, release, since.
--#include base
--#include store
local id, since = ARGV[2], tonumber(ARGV[12])
--#include written
--#include record
--#include lock
--#include leave
local whole, matters, stamp_at, hold_at, changed = false, since > 0, 3, 7, false
--#include load
--#include hold
if active and active.write == id then
  return fixed(active) .. active.owner
end
--#include refuse
if ARGV[11] ~= '' and hold and not (refusal and refusal[1] == LOST) then
  changed = leave(hold_ticket)
end
local answer = refusal
if not refusal then
  --#include register
  --#include slide
  active.version, active.write, active.updated = active.version + 1, id, ms
  active_lasts = put(A, active, ARGV[6])
  --#include remember
  changed = true
  answer = fixed(active) .. active.owner
end
--#include commit
return answer

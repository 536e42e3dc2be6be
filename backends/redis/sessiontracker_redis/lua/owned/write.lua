-- Write: id, stamp, payload, hold, release, since.
--#include owned/all
--#include leave
local id, since = ARGV[2], tonumber(ARGV[12])
local stamp_at, hold_at, changed = 3, 7, false
load_owner()
--#include owned/payloads
load(false)
lend()
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
if changed then
  commit()
end
return answer

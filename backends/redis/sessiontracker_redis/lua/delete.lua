-- Delete: id, life, stamp, hold, since.
--#include base
--#include store
--#include record
--#include lock
local id, life, since = ARGV[2], ARGV[3], tonumber(ARGV[11])
local whole, matters, stamp_at, hold_at, changed = false, true, 4, 7, true
--#include load
--#include hold
if not active and lock.deed == id then
  return { DELETED, 1 }
end
if ARGV[stamp_at] ~= '' then
  --#include refuse
  if refusal then
    return refusal
  end
  --#include register
  call('DEL', A)
else
  --#include past
  if is_past then
    return { UNKNOWN }
  end
  if not (active and (life == '' or life == active.life)
    or finished and (life == '' or life == finished.life)) then
    return { DELETED, 0 }
  end
  call('DEL', A, F)
  finished, finished_lasts = nil, 0
end
active, active_lasts, lock.needed = nil, 0, true
--#include remember
--#include commit
return { DELETED, 1 }

-- Delete: id, life, stamp, hold, since.
--#include owned/all
--#include owned/tidy
local id, life, since = ARGV[2], ARGV[3], tonumber(ARGV[11])
local stamp_at, hold_at, changed = 4, 7, true
load_owner()
--#include owned/payloads
load(false)
lend()
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
else
  --#include past
  if is_past then
    return { UNKNOWN }
  end
  if not (active and (life == '' or life == active.life)
    or finished and (life == '' or life == finished.life)) then
    return { DELETED, 0 }
  end
  drop(F, finished_lasts)
  finished, finished_lasts = nil, 0
end
drop(A, active_lasts)
active, active_lasts, lock.needed = nil, 0, true
--#include remember
commit()
if untidy then
  tidy()
end
return { DELETED, 1 }

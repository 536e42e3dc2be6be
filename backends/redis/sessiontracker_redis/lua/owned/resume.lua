-- Resume: id, life, hold, since, limit.
--#include owned/all
--#include owned/tidy
local id, life, since = ARGV[2], ARGV[3], tonumber(ARGV[8])
local hold_at, limit_at, changed = 4, 9, true
--#include owned/deeds
--#include owned/limit
load_owner()
--#include owned/payloads
load(true)
lend()
--#include hold
if active and active.write == id then
  return with_shared(text)
end
--#include past
if is_past then
  return { UNKNOWN }
end
if lost then
  return { LOST }
end
if active then
  return { IS_ACTIVE }
end
if not finished or (life ~= '' and life ~= finished.life) then
  return { MISSING }
end
if not hold and lock.ticket ~= NO_ID then
  return { LOCKED, lock.holder, lock.till - ms }
end
count_others()
if excess > 0 then
  return { LIMIT_REACHED, #others }
end
local head = fixed(finished) .. finished.owner
local payload = sub(text_of(F, head), #head + 1)
active, finished = finished, nil
if active.ends < FOREVER then -- it was finished when it was updated last
  active.ends = min(active.ends - active.updated + ms, FOREVER)
end
active.version, active.write, active.updated = active.version + 1, id, ms
--#include slide
--#include register
--#include owned/settle
drop(F, finished_lasts)
active_lasts, finished_lasts = put(A, active, payload), 0
--#include remember
commit()
tidy()
return with_shared(fixed(active) .. active.owner .. payload)

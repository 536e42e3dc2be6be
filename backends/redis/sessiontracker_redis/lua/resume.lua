-- Resume: id, life, hold, since.
--#include base
--#include store
--#include record
--#include lock
local id, life, since = ARGV[2], ARGV[3], tonumber(ARGV[8])
local whole, matters, hold_at, changed = true, true, 4, true
--#include load
--#include hold
if active and active.write == id then
  return text
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
local payload = sub(call('GET', F), SIZE + finished.size + 1)
active, finished = finished, nil
if active.ends < FOREVER then -- it was finished when it was updated last
  active.ends = min(active.ends - active.updated + ms, FOREVER)
end
active.version, active.write, active.updated = active.version + 1, id, ms
--#include slide
--#include register
active_lasts, finished_lasts = put(A, active, payload), 0
call('DEL', F)
--#include remember
--#include commit
return fixed(active) .. active.owner .. payload

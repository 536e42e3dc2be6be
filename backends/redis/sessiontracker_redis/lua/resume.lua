-- Resume: id, life, hold, age.
--#include clock
--#include record
--#include lock
--#include writer
load(false, true)
local id, life, hold, age = ARGV[2], ARGV[3], hold_at(4), tonumber(ARGV[8])
if active and active.write == id then
  return redis.call('GET', A)
end
if is_past_telling(id, age) then
  return { UNKNOWN }
end
if is_lost(hold) then
  return { LOST }
end
if active then
  return { IS_ACTIVE }
end
if not finished or (life ~= '' and life ~= finished.life) then
  return { MISSING }
end
local refusal = locked(hold)
if refusal then
  return refusal
end
local payload = payload_of(F, finished)
active = finished
if active.ends < FOREVER then -- it was finished when it was updated last
  active.ends = math.min(active.ends - active.updated + ms, FOREVER)
end
active.version, active.write, active.updated = active.version + 1, id, ms
slide()
register(hold)
put_active(payload)
drop_finished()
remember(id)
commit()
return head(active) .. payload

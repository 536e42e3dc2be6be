-- Finish: id, retention, stamp, whether there is a payload, payload, hold, age.
--#include clock
--#include record
--#include lock
--#include writer
load(false, true)
local id, retention, stamp = ARGV[2], tonumber(ARGV[3]), stamp_at(4)
local saves, payload, hold, age = ARGV[7] ~= '', ARGV[8], hold_at(9), tonumber(ARGV[13])
if finished and finished.write == id then
  return saves and { SAVED, head(finished) } or redis.call('GET', F)
end
if not stamp and is_past_telling(id, age) then
  return { UNKNOWN }
end
local refusal = refuse(hold, stamp)
if refusal then
  return was_perhaps_done(id, age, stamp) and { UNKNOWN } or refusal
end
if not saves then
  payload = payload_of(A, active)
end
local record = active
record.version, record.write, record.updated = record.version + 1, id, ms
record.expires = math.min(ms + retention, FOREVER)
register(hold)
if retention > 0 then
  finished = record
  put_finished(payload)
else
  drop_finished()
  lock.needed = true
end
drop_active()
remember(id)
commit()
return saves and { SAVED, head(record) } or head(record) .. payload

-- Finish: id, retention, stamp, whether there is a payload, payload, hold, since.
--#include base
--#include store
--#include record
--#include lock
local id, retention, since = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[13])
local saves, payload = ARGV[7] ~= '', ARGV[8]
local whole, matters, stamp_at, hold_at, changed = not saves, true, 4, 9, true
--#include load
--#include hold
if finished and finished.write == id then
  return saves and fixed(finished) .. finished.owner or call('GET', F)
end
if ARGV[stamp_at] == '' then
  --#include past
  if is_past then
    return { UNKNOWN }
  end
end
--#include refuse
if refusal then
  return refusal
end
local record = active
if not saves then
  payload = sub(text, SIZE + record.size + 1)
end
record.version, record.write, record.updated = record.version + 1, id, ms
record.expires = min(ms + retention, FOREVER)
--#include register
if retention > 0 then
  finished, finished_lasts = record, put(F, record, payload)
  call('DEL', A)
else
  call('DEL', A, F)
  finished, finished_lasts, lock.needed = nil, 0, true
end
active, active_lasts = nil, 0
--#include remember
--#include commit
return fixed(record) .. record.owner .. (saves and '' or payload)

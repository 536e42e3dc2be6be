-- Finish: id, retention, stamp, whether there is a payload, payload, hold, since.
--#include owned/all
--#include owned/tidy
local id, retention, since = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[13])
local saves, payload = ARGV[7] ~= '', ARGV[8]
local stamp_at, hold_at, changed = 4, 9, true
load_owner()
--#include owned/payloads
load(not saves)
lend()
--#include hold
if finished and finished.write == id then
  local head = fixed(finished) .. finished.owner
  return saves and head or with_shared(text_of(F, head))
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
drop(A, active_lasts)
if retention > 0 then
  finished, finished_lasts = record, put(F, record, payload)
else
  drop(F, finished_lasts)
  finished, finished_lasts, lock.needed = nil, 0, true
end
active, active_lasts = nil, 0
--#include remember
commit()
if untidy then
  tidy()
end
local head = fixed(record) .. record.owner
return saves and head or with_shared(head .. payload)

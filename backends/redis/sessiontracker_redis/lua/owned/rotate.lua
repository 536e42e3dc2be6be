-- Rotate: id, stamp, payload, to, hold, since.
--#include owned/all
--#include owned/tidy
local id, payload, to, since = ARGV[2], ARGV[6], ARGV[7], tonumber(ARGV[12])
local stamp_at, hold_at, changed = 3, 8, true
local from = name
load_owner()
--#include owned/payloads
name = to
load(true)
for index = 1, 2 do
  local record = index == 1 and active or index == 2 and finished
  if record and (record.write == id or since > 0 and record.life == ARGV[stamp_at]
    and record.version > tonumber(ARGV[stamp_at + 1]) + 1) then
    record.version, record.write = tonumber(ARGV[stamp_at + 1]) + 1, id
    return { SAVED, fixed(record) .. record.owner, shown or false }
  end
end
local in_progress = active and text
name = from
load(false)
lend()
--#include hold
--#include refuse
if refusal then
  return refusal
end
if in_progress then
  return { IN_PROGRESS, in_progress, shown or false }
end
local record = active
record.version, record.write, record.updated = record.version + 1, id, ms
do -- it goes from here
  --#include register
  drop(A, active_lasts)
  active, active_lasts, lock.needed = nil, 0, true
  --#include remember
  commit()
end
do -- and comes to be there
  name = to
  load(false)
  active = record
  --#include put_begun
  commit()
end
if untidy then
  tidy()
end
return { SAVED, fixed(record) .. record.owner, shown or false }

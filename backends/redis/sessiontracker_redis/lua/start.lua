-- Start: id, payload, owner, idle, absolute, read, touch_every, hold, since, and what is adopted:
-- life, version, started, slid, idle, ends, expires.
--#include base
--#include store
--#include record
--#include lock
local whole, matters, hold_at, changed = true, true, 9, false
--#include load
--#include hold
local id, payload, owner = ARGV[2], ARGV[3], ARGV[4]
local idle, absolute = tonumber(ARGV[5]), tonumber(ARGV[6])
local every, since = tonumber(ARGV[8]), tonumber(ARGV[13])
local adopts = ARGV[14] ~= ''
local life, version = id, 1
if adopts then
  life, version = ARGV[14], tonumber(ARGV[15]) + 1
end
for index = 1, 2 do
  local record = index == 1 and active or index == 2 and finished
  if record and record.life == life and record.version >= version then
    record.version, record.write = version, id
    return { SAVED, fixed(record) .. record.owner }
  end
end
local answer
if active and ARGV[7] ~= '' and not lost then
  local slid
  --#include register
  --#include slid
  if slid then
    changed = true
    --#include put_slid
  end
  answer = text
else
  --#include past
  if is_past then
    return { UNKNOWN }
  end
  if lost then
    return { LOST }
  end
  if active then
    return { IN_PROGRESS, text }
  end
  if not hold and lock.ticket ~= NO_ID then
    return { LOCKED, lock.holder, lock.till - ms }
  end
  --#include begin
  if adopts then
    active.life, active.version, active.started = life, version, tonumber(ARGV[16])
    active.slid, active.idle = tonumber(ARGV[17]), tonumber(ARGV[18])
    active.ends, active.expires = tonumber(ARGV[19]), tonumber(ARGV[20])
  end
  --#include register
  --#include put_begun
  changed = true
  answer = { SAVED, fixed(active) .. active.owner }
end
--#include commit
return answer

-- Start: id, payload, owner, idle, absolute, read, touch_every, hold, age, and what is adopted:
-- life, version, started, slid, idle, ends, expires.
--#include clock
--#include record
--#include lock
--#include writer
--#include begin
load(false, true)
local id, owner, hold, age = ARGV[2], ARGV[4], hold_at(9), tonumber(ARGV[13])
local adopts = ARGV[14] ~= ''
local life, version = id, 1
if adopts then
  life, version = ARGV[14], tonumber(ARGV[15]) + 1
end
for index = 1, 2 do
  local record = index == 1 and active or index == 2 and finished
  if record and record.life == life and record.version >= version then
    record.version, record.write = version, id
    return { SAVED, head(record) }
  end
end
local lost = is_lost(hold)
if active and not lost then
  if ARGV[7] == '' then
    return { IN_PROGRESS, redis.call('GET', A) }
  end
  local changed = register(hold)
  local text, slid = slid_if_due(redis.call('GET', A), tonumber(ARGV[8]))
  if slid then
    put_slide()
  end
  if slid or changed then
    commit()
  end
  return text
end
if is_past_telling(id, age) then
  return { UNKNOWN }
end
if lost then
  return { LOST }
end
local refusal = locked(hold)
if refusal then
  return refusal
end
begin(id, owner, tonumber(ARGV[5]), tonumber(ARGV[6]))
if adopts then
  active.life, active.version, active.started = life, version, tonumber(ARGV[16])
  active.slid, active.idle = tonumber(ARGV[17]), tonumber(ARGV[18])
  active.ends, active.expires = tonumber(ARGV[19]), tonumber(ARGV[20])
end
register(hold)
put_begun(ARGV[3])
commit()
return { SAVED, head(active) }

-- Start: id, payload, owner, idle, absolute, read, touch_every, hold, since, and what is adopted:
-- life, version, started, slid, idle, ends, expires; and the limit.
--#include owned/all
--#include owned/tidy
local hold_at, limit_at, changed = 9, 21, false
--#include owned/deeds
--#include owned/limit
load_owner()
--#include owned/payloads
load(true)
lend()
--#include hold
local id, payload, owner_name = ARGV[2], ARGV[3], ARGV[4]
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
    return with_room({ SAVED, fixed(record) .. record.owner, shown or false }, id)
  end
end
if active and ARGV[7] ~= '' and not lost then
  local slid
  --#include register
  --#include slid
  if slid then
    changed = true
    --#include owned/put_slid
  end
  if changed then
    commit()
  end
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
  return { IN_PROGRESS, text, shown or false }
end
if not hold and lock.ticket ~= NO_ID then
  return { LOCKED, lock.holder, lock.till - ms }
end
count_others()
if excess > 0 and not makes_room then
  return { LIMIT_REACHED, #others }
end
choose(id)
do
  local owner = owner_name
  --#include begin
end
if adopts then
  active.life, active.version, active.started = life, version, tonumber(ARGV[16])
  active.slid, active.idle = tonumber(ARGV[17]), tonumber(ARGV[18])
  active.ends, active.expires = tonumber(ARGV[19]), tonumber(ARGV[20])
end
--#include register
--#include owned/settle
make_room(id)
--#include put_begun
commit()
tidy()
return with_room({ SAVED, fixed(active) .. active.owner, shown or false }, id)

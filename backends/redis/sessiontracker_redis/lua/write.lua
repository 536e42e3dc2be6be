-- Write: id, stamp, payload, hold, release, age.
--#include clock
--#include record
--#include lock
--#include writer
load()
local id, stamp, hold, age = ARGV[2], stamp_at(3), hold_at(7), tonumber(ARGV[12])
if active and active.write == id then
  return { SAVED, head(active) }
end

local function let_go()
  return ARGV[11] ~= '' and hold and leave(hold.ticket)
end

local refusal = refuse(hold, stamp)
if refusal then
  local unknown = was_perhaps_done(id, age, stamp)
  if (unknown or refusal[1] ~= LOST) and let_go() then
    commit()
  end
  return unknown and { UNKNOWN } or refusal
end
let_go()
register(hold)
active.version, active.write, active.updated = active.version + 1, id, ms
slide()
put_active(ARGV[6])
remember(id)
commit()
return { SAVED, head(active) }

-- Delete: id, life, stamp, hold, age.
--#include record
--#include lock
load()
local id, life, stamp, hold, age = ARGV[2], ARGV[3], stamp_at(4), hold_at(7), tonumber(ARGV[11])
if not active and lock.deed == id then
  return { DELETED, 1 }
end
if stamp then
  local refusal = refuse(hold, stamp)
  if refusal then
    return was_perhaps_done(id, age, stamp) and { UNKNOWN } or refusal
  end
  register(hold)
  redis.call('DEL', A)
else
  if is_past_telling(id, age) then
    return { UNKNOWN }
  end
  if not (active and (life == '' or life == active.life)
    or finished and (life == '' or life == finished.life)) then
    return { DELETED, 0 }
  end
  redis.call('DEL', A, F)
  finished = nil
end
active, lock.needed = nil, true
remember(id)
commit()
return { DELETED, 1 }

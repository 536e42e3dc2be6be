-- Delete: id, life, stamp, hold, age.
--#include clock
--#include record
--#include lock
--#include writer
load(false, true)
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
  drop_active()
else
  if is_past_telling(id, age) then
    return { UNKNOWN }
  end
  if not (active and (life == '' or life == active.life)
    or finished and (life == '' or life == finished.life)) then
    return { DELETED, 0 }
  end
  drop_active()
  drop_finished()
end
lock.needed = true
remember(id)
commit()
return { DELETED, 1 }

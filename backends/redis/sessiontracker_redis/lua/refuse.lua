-- Why one who read a session at the stamp from ARGV[stamp_at] on may not change it now; by key
-- (no stamp), whatever is there.
local stamp
if ARGV[stamp_at] ~= '' then
  stamp = {
    life = ARGV[stamp_at],
    version = tonumber(ARGV[stamp_at + 1]),
    write = ARGV[stamp_at + 2],
  }
end
local refusal
if lost then
  refusal = { LOST }
elseif not active then
  refusal = { finished and IS_FINISHED or MISSING }
elseif not hold and lock.lease then
  refusal = { LOCKED, lock.lease.holder, lock.lease.till - ms }
elseif stamp and (stamp.version ~= active.version or stamp.life ~= active.life
  or stamp.write ~= active.write) then
  refusal = { STALE, active.version, active.life == stamp.life and 1 or 0 }
end
-- A repeat that is refused may have been done before others came.
if refusal and age > 0 and stamp then
  local record = active and active.life == stamp.life and active
    or finished and finished.life == stamp.life and finished
  local perhaps
  if record then
    perhaps = record.version > stamp.version + 1
  else
    --#include past
    perhaps = is_past
  end
  if perhaps then
    refusal = { UNKNOWN }
  end
end

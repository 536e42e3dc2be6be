-- Why one who read a session at the stamp from ARGV[stamp_at] on may not change it now; by key
-- (no stamp), whatever is there.
local life, version, write = ARGV[stamp_at], tonumber(ARGV[stamp_at + 1]), ARGV[stamp_at + 2]
local refusal
if lost then
  refusal = { LOST }
elseif not active then
  refusal = { finished and IS_FINISHED or MISSING }
elseif not hold and lock.ticket ~= NO_ID then
  refusal = { LOCKED, lock.holder, lock.till - ms }
elseif version and (version ~= active.version or life ~= active.life or write ~= active.write) then
  refusal = { STALE, active.version, active.life == life and 1 or 0 }
end
-- A repeat that is refused may have been done before others came.
if refusal and since > 0 and version then
  local record = active and active.life == life and active
    or finished and finished.life == life and finished
  local perhaps
  if record then
    perhaps = record.version > version + 1
  else
    --#include past
    perhaps = is_past
  end
  if perhaps then
    refusal = { UNKNOWN }
  end
end

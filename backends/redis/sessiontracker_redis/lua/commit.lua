-- After a change of anything: the lock as it is now, if there is one.
if changed and (lock.there or lock.needed) then
  local at = max(lock.kept, floor(tonumber(lock.token) / 1000))
  if not active and not finished and lock.ticket == NO_ID and ms > at
    and (lock.deed == NO_ID or ms >= lock.time + REMEMBERED) then
    call('DEL', A, F, L)
  else
    -- It lasts as long as anything that it may be asked about.
    at = max(at, active_lasts, lock.till)
    if lock.deed ~= NO_ID then
      at = max(at, lock.time + REMEMBERED)
    end
    if lock.queue ~= '' then
      at = max(at, lock.latest)
    end
    at = at + 1000
    if finished_lasts then
      at = max(at, finished_lasts + 1000)
    elseif lock.there then
      at = max(at, lock.lasts) -- the finished session was counted in when it came
    else
      local left = call('PTTL', F)
      at = left == -1 and FOREVER or max(at, ms + left + 1000)
    end
    at = min(at, FOREVER)
    --#include put_lock
  end
  --#include wake
end

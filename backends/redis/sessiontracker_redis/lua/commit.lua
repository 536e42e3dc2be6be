-- After a change of anything: the lock as it is now, if there is one.
if changed then
  local lease = lock.lease
  local at = math.max(lock.kept, math.floor(tonumber(lock.token) / 1000))
  if not (active or finished or lease) and ms > at
    and (lock.deed == '' or ms >= lock.time + REMEMBERED) then
    redis.call('DEL', A, F, L)
  elseif lock.there or lock.needed then
    -- It lasts as long as anything that it may be asked about.
    at = math.max(at, active_lasts)
    if lock.deed ~= '' then
      at = math.max(at, lock.time + REMEMBERED)
    end
    if lease then
      at = math.max(at, lease.till)
    end
    for _, waiter in ipairs(lock.queue) do
      at = math.max(at, waiter[SEEN] + 2 * waiter[EVERY])
    end
    if not finished_lasts then
      local left = redis.call('PTTL', F)
      finished_lasts = left == -1 and FOREVER or ms + left
    end
    at = math.max(at, finished_lasts) + 1000
    lease = lease or { ticket = '', token = CLAIM, till = 0, holder = '' }
    store(L, cmsgpack.pack({
      1, lock.token, lock.kept, lock.released,
      lease.ticket, lease.token, lease.till, lease.holder,
      lock.deed, lock.time, lock.queue,
    }), at)
  end
  if lock.woken and lock.woken[CHANNEL] ~= '' then
    redis.pcall('PUBLISH', lock.woken[CHANNEL], lock.woken[TICKET]) -- a hint, which may fail
  end
end

-- Who was given a claim is woken.
if lock.woken and lock.woken ~= '' then
  redis.pcall('PUBLISH', lock.woken, lock.ticket) -- a hint, which may fail
end

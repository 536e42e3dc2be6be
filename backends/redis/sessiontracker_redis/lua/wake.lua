-- Who was given a claim is woken.
if lock.woken and lock.woken[CHANNEL] ~= '' then
  redis.pcall('PUBLISH', lock.woken[CHANNEL], lock.woken[TICKET]) -- a hint, which may fail
end

-- Without `ticket`'s lease or claim, or its place in the queue; whether there was one.
local function leave(ticket)
  local lease = lock.lease
  if lease and lease.ticket == ticket then
    if lease.token ~= CLAIM then
      lock.released = ticket
    end
    hand_over()
    return true
  end
  for index, waiter in ipairs(lock.queue) do
    if waiter[TICKET] == ticket then
      table.remove(lock.queue, index)
      return true
    end
  end
  return false
end
